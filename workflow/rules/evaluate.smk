for RULE in PLAN.score_plain_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            RULE.outputs,
        log:
            f"<logs>/{RULE.name}/{{scorer}}.{{model}}.seed{{seed}}.s{{sample}}.log",
        benchmark:
            f"<benchmarks>/{RULE.name}/{{scorer}}.{{model}}.seed{{seed}}.s{{sample}}.tsv"
        wildcard_constraints:
            **RULE.wildcards,
        retries: 0 if RULE.local else PLAN.study.retries
        localrule: RULE.local
        conda:
            "../envs/moco.yaml"
        threads: RULE.threads
        resources:
            **PLAN.resources(RULE),
            attempt=attempt,
        params:
            **RULE.words,
            spec=RULE.spec,
        message:
            "scoring {wildcards.model}"
        shell:
            "moco score --model {wildcards.model} --decoding {params.decoding} --sample {wildcards.sample}"
            " --tasks {params.tasks} --split {params.split} --seed {wildcards.seed} --spec {params.spec:q}"
            " --gpus {resources.gpu} --gpus-needed {resources.gpus_needed} --attempt {resources.attempt} >{log} 2>&1"


for RULE in PLAN.score_answers_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            RULE.outputs,
        log:
            f"<logs>/{RULE.name}/{{scorer}}.{{method}}.seed{{seed}}.{{split}}.log",
        benchmark:
            f"<benchmarks>/{RULE.name}/{{scorer}}.{{method}}.seed{{seed}}.{{split}}.tsv"
        wildcard_constraints:
            **RULE.wildcards,
        retries: 0 if RULE.local else PLAN.study.retries
        localrule: RULE.local
        conda:
            "../envs/moco.yaml"
        threads: RULE.threads
        resources:
            **PLAN.resources(RULE),
            attempt=attempt,
        params:
            **RULE.words,
            spec=RULE.spec,
        message:
            "scoring {wildcards.method}"
        shell:
            "moco score --pool {params.pool} --method {wildcards.method} --tasks {params.tasks}"
            " --split {wildcards.split} --seed {wildcards.seed} --spec {params.spec:q}"
            " --gpus {resources.gpu} --gpus-needed {resources.gpus_needed} --attempt {resources.attempt} >{log} 2>&1"
