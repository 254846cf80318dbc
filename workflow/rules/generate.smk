for RULE in PLAN.generate_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            RULE.outputs,
        log:
            f"<logs>/{RULE.name}/{{model}}.seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/{RULE.name}/{{model}}.seed{{seed}}.tsv"
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
            "{wildcards.model} answers: {params.tasks}"
        shell:
            "moco generate --model {wildcards.model} --tasks {params.tasks} --splits {params.splits}"
            " --samples {params.samples} --seed {wildcards.seed} --spec {params.spec:q} --gpus {resources.gpu} --gpus-needed {resources.gpus_needed}"
            " --attempt {resources.attempt} >{log} 2>&1"


for RULE in PLAN.fitted_generate_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            RULE.outputs,
        log:
            f"<logs>/{RULE.name}/{{method}}.seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/{RULE.name}/{{method}}.seed{{seed}}.tsv"
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
            "models of {wildcards.method} answer: {params.tasks}"
        shell:
            "moco generate --fitted {params.names} --pool {params.pool} --method {wildcards.method}"
            " --tasks {params.tasks} --splits test --samples {params.samples} --seed {wildcards.seed}"
            " --spec {params.spec:q} --gpus {resources.gpu} --gpus-needed {resources.gpus_needed} --attempt {resources.attempt} >{log} 2>&1"
