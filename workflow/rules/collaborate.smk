for RULE in PLAN.fit_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            [directory(path) for path in RULE.folders],
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
        threads: RULE.threads
        resources:
            **PLAN.resources(RULE),
            attempt=attempt,
        params:
            **RULE.words,
            spec=RULE.spec,
        message:
            "fitting {wildcards.method} on {params.pool}"
        shell:
            "moco fit --pool {params.pool} --method {wildcards.method} --seed {wildcards.seed}"
            " --spec {params.spec:q} --gpus {resources.gpu} --gpus-needed {resources.gpus_needed}"
            " --attempt {resources.attempt} >{log} 2>&1"


for RULE in PLAN.answer_rules():

    rule:
        name:
            RULE.name
        input:
            unpack(RULE.inputs),
        output:
            RULE.outputs,
        log:
            f"<logs>/{RULE.name}/{{method}}.seed{{seed}}.{{split}}.log",
        benchmark:
            f"<benchmarks>/{RULE.name}/{{method}}.seed{{seed}}.{{split}}.tsv"
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
            "{wildcards.method} answers with {params.pool}"
        shell:
            "moco answer --pool {params.pool} --method {wildcards.method} --seed {wildcards.seed}"
            " --split {wildcards.split} --spec {params.spec:q} --gpus {resources.gpu}"
            " --gpus-needed {resources.gpus_needed} --attempt {resources.attempt} >{log} 2>&1"
