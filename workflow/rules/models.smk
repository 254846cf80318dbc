rule zoo:
    input:
        PLAN.zoo_inputs,
    output:
        directory("<results>/checkpoints/{model}"),
    log:
        "<logs>/zoo/{model}.log",
    benchmark:
        "<benchmarks>/zoo/{model}.tsv"
    wildcard_constraints:
        model=PLAN.zoo_pattern,
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        mem="2GB",
        runtime="30m",
    params:
        spec=PLAN.zoo_spec,
    message:
        "training {wildcards.model}, once per machine"
    shell:
        "moco zoo --model {wildcards.model} --spec {params.spec:q} >{log} 2>&1"


rule merge:
    input:
        unpack(PLAN.merge_inputs),
    output:
        temp(directory("<results>/checkpoints/{model}")),
    log:
        "<logs>/merge/{model}.log",
    benchmark:
        "<benchmarks>/merge/{model}.tsv"
    wildcard_constraints:
        model=PLAN.derived_pattern,
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        mem="16GB",
        runtime="1h",
        attempt=attempt,
    params:
        among=PLAN.merge_words,
        spec=PLAN.merge_spec,
    message:
        "merging {wildcards.model}"
    shell:
        "moco merge --model {wildcards.model} --among {params.among} --spec {params.spec:q}"
        " --attempt {resources.attempt} >{log} 2>&1"


rule resolve:
    input:
        unpack(PLAN.resolve_inputs),
    output:
        "<results>/models/{model}/model.json",
    log:
        "<logs>/resolve/{model}.log",
    benchmark:
        "<benchmarks>/resolve/{model}.tsv"
    wildcard_constraints:
        model=PLAN.model_pattern,
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        parents=PLAN.resolve_words,
        spec=PLAN.resolve_spec,
    message:
        "resolving {wildcards.model}"
    shell:
        "moco resolve --model {wildcards.model} {params.parents} --spec {params.spec:q} >{log} 2>&1"
