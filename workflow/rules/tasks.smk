rule prepare:
    input:
        source=PLAN.prepare.source,
    output:
        facts="<results>/tasks/{task}/task.json",
        dropped="<results>/tasks/{task}/dropped.parquet",
        questions=expand(
            "<results>/tasks/{{task}}/{split}/questions.parquet", split=SPLITS
        ),
        references=expand(
            "<results>/tasks/{{task}}/{split}/references.parquet", split=SPLITS
        ),
    log:
        "<logs>/prepare/{task}.log",
    benchmark:
        "<benchmarks>/prepare/{task}.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.prepare.results,
        digest=PLAN.prepare.digest,
    message:
        "preparing {wildcards.task}"
    shell:
        "moco prepare --results {params.results:q} --task {wildcards.task}"
        " --digest {params.digest} >{log:q} 2>&1"
