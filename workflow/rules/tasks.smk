for TASK in PLAN.matrix.tasks:

    rule:
        name:
            f"prepare_{TASK.replace('-', '_')}"
        input:
            PLAN.prepare_inputs(TASK),
        output:
            PLAN.prepare_outputs(TASK),
        log:
            f"<logs>/prepare/{TASK}.log",
        benchmark:
            f"<benchmarks>/prepare/{TASK}.tsv"
        localrule: True
        conda:
            "../envs/moco.yaml"
        threads: 1
        params:
            task=TASK,
            spec=PLAN.prepare_spec(TASK),
        message:
            f"preparing {TASK}"
        shell:
            "moco prepare --task {params.task} --spec {params.spec:q} >{log} 2>&1"
