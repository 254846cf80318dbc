for RULE in PLAN.logits_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            RULE.outputs,
        log:
            f"<logs>/{RULE.name}/{RULE.job}.log",
        benchmark:
            f"<benchmarks>/{RULE.name}/{RULE.job}.tsv"
        wildcard_constraints:
            **RULE.wildcards,
        retries: PLAN.study.retries
        conda:
            "../envs/moco.yaml"
        threads: 1
        resources:
            **PLAN.resources(RULE),
            attempt=attempt,
        params:
            **RULE.words,
            spec=RULE.spec,
        message:
            "{params.kind} logits of {wildcards.model}: {params.tasks}"
        shell:
            "moco logits --kind {params.kind} --model {wildcards.model} --tasks {params.tasks}"
            " --splits {params.splits} {params.which} --spec {params.spec:q} --gpus {resources.gpu}"
            " --gpus-needed {resources.gpus_needed} --attempt {resources.attempt} >{log} 2>&1"
