rule score:
    input:
        questions=PLAN.score.questions,
        references=PLAN.score.references,
        replies=PLAN.score.replies,
    output:
        "<results>/scores/{scorer}/{replies}.parquet",
    log:
        "<logs>/score/{scorer}/{replies}.log",
    benchmark:
        "<benchmarks>/score/{scorer}/{replies}.tsv"
    wildcard_constraints:
        replies=rf"(?=generations/){PLAN.score.compared}",
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.score.results,
        digest=PLAN.score.digest,
    message:
        "scoring {wildcards.replies}"
    shell:
        "moco score --results {params.results:q} --scorer {wildcards.scorer} --replies {wildcards.replies}"
        " --digest {params.digest} >{log:q} 2>&1"


# A rule of their own, so that the rule graph reads from questions to the report.
use rule score as score_answers with:
    wildcard_constraints:
        replies=rf"(?=answers/){PLAN.score.compared}",
    localrule: True  # is not taken over


# Scored by models that judge, or by running programs: no work for the machine that plans. Which replies these are is
# told from the batch in their path.
rule judge:
    input:
        questions=PLAN.score.questions,
        references=PLAN.score.references,
        replies=PLAN.score.replies,
        models=PLAN.score.models,
        checkpoints=PLAN.score.checkpoints,
    output:
        "<results>/scores/{scorer}/{replies}.parquet",
        "<results>/scores/{scorer}/{replies}_job_perf.parquet",
    log:
        "<logs>/score/{scorer}/{replies}.log",
    benchmark:
        "<benchmarks>/score/{scorer}/{replies}.tsv"
    wildcard_constraints:
        replies=rf"(?=generations/){PLAN.score.judged}",
    retries: PLAN.study.retries
    conda:
        "../envs/moco.yaml"
    threads: PLAN.score.threads
    resources:
        gpu=PLAN.score.gpu,
        gpu_model=PLAN.score.gpu_model,
        mem=PLAN.score.mem,
        attempt=attempt,
    params:
        results=PLAN.score.results,
        digest=PLAN.score.digest,
    message:
        "scoring {wildcards.replies}"
    shell:
        "moco score --results {params.results:q} --scorer {wildcards.scorer} --replies {wildcards.replies}"
        " --digest {params.digest} --gpus {resources.gpu} --attempt {resources.attempt} >{log:q} 2>&1"


use rule judge as judge_answers with:
    wildcard_constraints:
        replies=rf"(?=answers/){PLAN.score.judged}",


rule collect:
    input:
        scores=PLAN.collect.scores,
        costs=PLAN.collect.costs,
        replies=PLAN.collect.replies,
        models=PLAN.collect.models,
        measured=PLAN.collect.measured,
        learnt=PLAN.collect.learnt,
    output:
        "<results>/analysis/{part}/scores.parquet",
        "<results>/analysis/{part}/costs.parquet",
        "<results>/analysis/{part}/replies.parquet",
        "<results>/analysis/{part}/students.parquet",
        "<results>/analysis/{part}/curves.parquet",
        "<results>/analysis/{part}/jobs_perf.parquet",
    log:
        "<logs>/collect/{part}.log",
    benchmark:
        "<benchmarks>/collect/{part}.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.collect.results,
        digest=PLAN.collect.digest,
    message:
        "collecting scores and costs of the {wildcards.part}"
    shell:
        "moco collect --results {params.results:q} --part {wildcards.part} --digest {params.digest} >{log:q} 2>&1"
