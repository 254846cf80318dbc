rule zoo:
    input:
        parent=PLAN.zoo.parent,
    output:
        directory("<results>/checkpoints/{model}"),
    log:
        "<logs>/zoo/{model}.log",
    benchmark:
        "<benchmarks>/zoo/{model}.tsv"
    wildcard_constraints:
        model=PLAN.zoo_models,
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        mem="2GB",
        runtime="30m",
    params:
        results=PLAN.zoo.results,
        digest=PLAN.zoo.digest,
    message:
        "putting {wildcards.model} in place"
    shell:
        "moco zoo --results {params.results:q} --model {wildcards.model}"
        " --digest {params.digest} >{log:q} 2>&1"


rule tune:
    input:
        questions=PLAN.tune.questions,
        references=PLAN.tune.references,
        models=PLAN.tune.models,
        checkpoints=PLAN.tune.checkpoints,
    output:
        directory("<results>/tuned/{model}"),
    log:
        "<logs>/tune/{model}.log",
    benchmark:
        "<benchmarks>/tune/{model}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        gpu=PLAN.tune.gpu,
        gpu_model=PLAN.tune.gpu_model,
        mem=PLAN.tune.mem,
        attempt=attempt,
    params:
        results=PLAN.tune.results,
        digest=PLAN.tune.digest,
    message:
        "tuning {wildcards.model}"
    shell:
        "moco tune --results {params.results:q} --model {wildcards.model}"
        " --digest {params.digest} --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"


rule merge:
    input:
        fit=PLAN.merge.fit,
        models=PLAN.merge.models,
        parts=PLAN.merge.parts,
    output:
        temp(directory("<results>/checkpoints/{model}")),
    log:
        "<logs>/merge/{model}.log",
    benchmark:
        "<benchmarks>/merge/{model}.tsv"
    wildcard_constraints:
        model=MADE_BY_FITS,
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        mem=PLAN.merge.mem,
        runtime="1h",
        attempt=attempt,
    params:
        results=PLAN.merge.results,
        digest=PLAN.merge.digest,
    message:
        "merging {wildcards.model}"
    shell:
        "moco merge --results {params.results:q} --model {wildcards.model}"
        " --digest {params.digest} --attempt {resources.attempt} >{log:q} 2>&1"


# Members of pools stay; all other merges are gone once they have answered.
use rule merge as merge_member with:
    output:
        directory("<results>/checkpoints/{model}"),
    wildcard_constraints:
        model=PLAN.kept_models,


rule resolve:
    input:
        checkpoint=PLAN.resolve.checkpoint,
        files=PLAN.resolve.files,
        parents=PLAN.resolve.parents,
        fit=PLAN.resolve.fit,
    output:
        "<results>/models/{model}/model.json",
    log:
        "<logs>/resolve/{model}.log",
    benchmark:
        "<benchmarks>/resolve/{model}.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.resolve.results,
        digest=PLAN.resolve.digest,
    message:
        "resolving {wildcards.model}"
    shell:
        "moco resolve --results {params.results:q} --model {wildcards.model}"
        " --digest {params.digest} >{log:q} 2>&1"
