rule generate:
    input:
        questions=PLAN.generate.questions,
        model=PLAN.generate.model,
        checkpoints=PLAN.generate.checkpoints,
    output:
        "<results>/generations/{model}/{batch}/{split}/seed{seed}/{block}.parquet",
        "<results>/generations/{model}/{batch}/{split}/seed{seed}/{block}_perf.parquet",
        "<results>/generations/{model}/{batch}/{split}/seed{seed}/{block}_job_perf.parquet",
    log:
        "<logs>/generate/{model}/{batch}/{split}/seed{seed}.{block}.log",
    benchmark:
        "<benchmarks>/generate/{model}/{batch}/{split}/seed{seed}.{block}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        gpu=PLAN.generate.gpu,
        gpu_model=PLAN.generate.gpu_model,
        mem=PLAN.generate.mem,
        attempt=attempt,
    params:
        results=PLAN.generate.results,
        digest=PLAN.generate.digest,
    message:
        "{wildcards.model} answers {wildcards.batch} ({wildcards.split})"
    shell:
        "moco generate --results {params.results:q} --model {wildcards.model} --batch {wildcards.batch}"
        " --split {wildcards.split} --seed {wildcards.seed} --block {wildcards.block} --digest {params.digest}"
        " --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"


rule logits:
    input:
        questions=PLAN.logits.questions,
        references=PLAN.logits.references,
        model=PLAN.logits.model,
        checkpoints=PLAN.logits.checkpoints,
    output:
        "<results>/logits/{model}/{batch}/{split}/{kind}.parquet",
        "<results>/logits/{model}/{batch}/{split}/{kind}_perf.parquet",
        "<results>/logits/{model}/{batch}/{split}/{kind}_job_perf.parquet",
    log:
        "<logs>/logits/{model}/{batch}/{split}/{kind}.log",
    benchmark:
        "<benchmarks>/logits/{model}/{batch}/{split}/{kind}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        gpu=PLAN.logits.gpu,
        gpu_model=PLAN.logits.gpu_model,
        mem=PLAN.logits.mem,
        attempt=attempt,
    params:
        results=PLAN.logits.results,
        digest=PLAN.logits.digest,
    message:
        "{wildcards.kind} logits of {wildcards.model}: {wildcards.batch} ({wildcards.split})"
    shell:
        "moco logits --results {params.results:q} --model {wildcards.model} --batch {wildcards.batch}"
        " --split {wildcards.split} --kind {wildcards.kind} --digest {params.digest}"
        " --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"


rule response_logits:
    input:
        questions=PLAN.response_logits.questions,
        responses=PLAN.response_logits.responses,
        model=PLAN.response_logits.model,
        checkpoints=PLAN.response_logits.checkpoints,
    output:
        "<results>/logits/{model}/{batch}/{split}/response/seed{seed}/{block}.parquet",
        "<results>/logits/{model}/{batch}/{split}/response/seed{seed}/{block}_perf.parquet",
        "<results>/logits/{model}/{batch}/{split}/response/seed{seed}/{block}_job_perf.parquet",
    log:
        "<logs>/logits/{model}/{batch}/{split}/response.seed{seed}.{block}.log",
    benchmark:
        "<benchmarks>/logits/{model}/{batch}/{split}/response.seed{seed}.{block}.tsv"
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: 1
    resources:
        gpu=PLAN.response_logits.gpu,
        gpu_model=PLAN.response_logits.gpu_model,
        mem=PLAN.response_logits.mem,
        attempt=attempt,
    params:
        results=PLAN.response_logits.results,
        digest=PLAN.response_logits.digest,
    message:
        "logits of the responses of {wildcards.model}: {wildcards.batch} ({wildcards.split})"
    shell:
        "moco logits --results {params.results:q} --model {wildcards.model} --batch {wildcards.batch}"
        " --split {wildcards.split} --kind response --seed {wildcards.seed} --block {wildcards.block}"
        " --digest {params.digest} --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"
