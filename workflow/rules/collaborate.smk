rule fit:
    input:
        questions=PLAN.fit.questions,
        references=PLAN.fit.references,
        models=PLAN.fit.models,
        plain=PLAN.fit.plain,
        scores=PLAN.fit.scores,
        logits=PLAN.fit.logits,
        corpora=PLAN.fit.corpora,
        checkpoints=PLAN.fit.checkpoints,
    output:
        directory("<results>/fits/{pool}/{batch}/{method}/seed{seed}"),
        "<results>/fits/{pool}/{batch}/{method}/seed{seed}_perf.parquet",
        "<results>/fits/{pool}/{batch}/{method}/seed{seed}_job_perf.parquet",
    log:
        "<logs>/fit/{pool}/{batch}/{method}.seed{seed}.log",
    benchmark:
        "<benchmarks>/fit/{pool}/{batch}/{method}.seed{seed}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: PLAN.fit.threads
    resources:
        gpu=PLAN.fit.gpu,
        gpu_model=PLAN.fit.gpu_model,
        mem=PLAN.fit.mem,
        attempt=attempt,
    params:
        results=PLAN.fit.results,
        digest=PLAN.fit.digest,
    message:
        "fitting {wildcards.method} on {wildcards.pool}: {wildcards.batch}"
    shell:
        "moco fit --results {params.results:q} --pool {wildcards.pool} --batch {wildcards.batch}"
        " --method {wildcards.method} --seed {wildcards.seed} --digest {params.digest}"
        " --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"


rule answer:
    input:
        questions=PLAN.answer.questions,
        fit=PLAN.answer.fit,
        models=PLAN.answer.models,
        plain=PLAN.answer.plain,
        made_plain=PLAN.answer.made_plain,
        logits=PLAN.answer.logits,
        checkpoints=PLAN.answer.checkpoints,
    output:
        "<results>/answers/{pool}/{batch}/{method}/seed{seed}/{split}.parquet",
        "<results>/answers/{pool}/{batch}/{method}/seed{seed}/{split}_calls.parquet",
        "<results>/answers/{pool}/{batch}/{method}/seed{seed}/{split}_costs.parquet",
        "<results>/answers/{pool}/{batch}/{method}/seed{seed}/{split}_perf.parquet",
        "<results>/answers/{pool}/{batch}/{method}/seed{seed}/{split}_job_perf.parquet",
    log:
        "<logs>/answer/{pool}/{batch}/{method}.seed{seed}.{split}.log",
    benchmark:
        "<benchmarks>/answer/{pool}/{batch}/{method}.seed{seed}.{split}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        gpu=PLAN.answer.gpu,
        gpu_model=PLAN.answer.gpu_model,
        mem=PLAN.answer.mem,
        attempt=attempt,
    params:
        results=PLAN.answer.results,
        digest=PLAN.answer.digest,
    message:
        "{wildcards.method} answers with {wildcards.pool}: {wildcards.batch}"
    shell:
        "moco answer --results {params.results:q} --pool {wildcards.pool} --batch {wildcards.batch}"
        " --method {wildcards.method} --seed {wildcards.seed} --split {wildcards.split}"
        " --digest {params.digest} --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"
