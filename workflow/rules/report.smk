rule tabulate:
    input:
        PLAN.table_inputs,
    output:
        report(
            "<results>/tables/{table}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "csv"},
        ),
        report(
            "<results>/tables/{table}.md",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "markdown"},
        ),
        "<results>/tables/{table}.tex",
    log:
        "<logs>/tabulate/{table}.log",
    benchmark:
        "<benchmarks>/tabulate/{table}.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        spec=PLAN.analysis_json,
    message:
        "table {wildcards.table}"
    shell:
        "moco tabulate {wildcards.table} --spec {params.spec:q} >{log} 2>&1"


rule plot:
    input:
        PLAN.analysis_inputs,
    output:
        report(
            "<results>/figures/{figure}.pdf",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "pdf"},
        ),
        report(
            "<results>/figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "png"},
        ),
    log:
        "<logs>/plot/{figure}.log",
    benchmark:
        "<benchmarks>/plot/{figure}.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        spec=PLAN.analysis_json,
    message:
        "figure {wildcards.figure}"
    shell:
        "moco plot {wildcards.figure} --spec {params.spec:q} >{log} 2>&1"


rule write_report:
    input:
        tables=expand(
            "<results>/tables/{table}.{suffix}", table=TABLES, suffix=["csv", "md"]
        ),
        figures=expand("<results>/figures/{figure}.png", figure=FIGURES),
        scores=PLAN.analysis_inputs + PLAN.further_scores,
        tasks=PLAN.task_files,
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        spec=PLAN.analysis_json,
    message:
        "report"
    shell:
        "moco report --spec {params.spec:q} >{log} 2>&1"


rule tables:
    input:
        expand("<results>/tables/{table}.csv", table=TABLES),
    localrule: True


rule figures:
    input:
        expand("<results>/figures/{figure}.pdf", figure=FIGURES),
    localrule: True


rule report:
    input:
        "<results>/report.html",
    localrule: True
