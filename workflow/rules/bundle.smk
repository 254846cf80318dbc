rule bundle:
    input:
        str(PLAN.bundle),
    output:
        PLAN.bundled,
    log:
        "<logs>/bundle.log",
    benchmark:
        "<benchmarks>/bundle.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.bundle_folder,
        content=PLAN.bundle_digest,
    message:
        "unpacking {input}"
    shell:
        "moco bundle extract {input:q} --results {params.results:q} >{log:q} 2>&1"
