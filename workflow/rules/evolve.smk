rule mix:
    input:
        questions=PLAN.mix.questions,
        answers=PLAN.mix.answers,
        own=PLAN.mix.own,
        scores=PLAN.mix.scores,
        references=PLAN.mix.references,
    output:
        "<results>/evolution/{run}/r{round}/mix.parquet",
    log:
        "<logs>/mix/{run}/r{round}.log",
    benchmark:
        "<benchmarks>/mix/{run}/r{round}.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.mix.results,
        digest=PLAN.mix.digest,
    message:
        "mixing what round {wildcards.round} of {wildcards.run} teaches"
    shell:
        "moco mix --results {params.results:q} --run {wildcards.run} --round {wildcards.round}"
        " --digest {params.digest} >{log:q} 2>&1"


rule distill:
    input:
        mixture=PLAN.distill.mixture,
        models=PLAN.distill.models,
        checkpoints=PLAN.distill.checkpoints,
    output:
        directory("<results>/evolution/{run}/r{round}/students"),
    log:
        "<logs>/distill/{run}/r{round}.log",
    benchmark:
        "<benchmarks>/distill/{run}/r{round}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        gpu=PLAN.distill.gpu,
        gpu_model=PLAN.distill.gpu_model,
        mem=PLAN.distill.mem,
        attempt=attempt,
    params:
        results=PLAN.distill.results,
        digest=PLAN.distill.digest,
    message:
        "training the students of round {wildcards.round} of {wildcards.run}"
    shell:
        "moco distill --results {params.results:q} --run {wildcards.run} --round {wildcards.round}"
        " --digest {params.digest} --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"
