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
        content=PLAN.bundle_digest,
    message:
        "unpacking {input}"
    shell:
        "moco bundle extract {input:q} --results results >{log} 2>&1"
