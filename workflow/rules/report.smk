rule tabulate:
    input:
        PLAN.tabulate.inputs,
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
        results=PLAN.tabulate.results,
        digest=PLAN.tabulate.digest,
    message:
        "table {wildcards.table}"
    shell:
        "moco tabulate {wildcards.table} --results {params.results:q} --digest {params.digest} >{log:q} 2>&1"


rule plot:
    input:
        PLAN.tabulate.drawn,
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
        results=PLAN.tabulate.results,
        digest=PLAN.tabulate.digest,
    message:
        "figure {wildcards.figure}"
    shell:
        "moco plot {wildcards.figure} --results {params.results:q} --digest {params.digest} >{log:q} 2>&1"


rule report:
    input:
        tables=expand(
            "<results>/tables/{table}.{suffix}",
            table=PLAN.tables,
            suffix=["csv", "md"],
        ),
        figures=expand("<results>/figures/{figure}.png", figure=PLAN.figures),
        collected=PLAN.tabulate.collected,
        tasks=PLAN.tabulate.task_files,
        examples=PLAN.report.examples,
    output:
        "<results>/report.html",
        directory("<results>/examples"),
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    localrule: True
    conda:
        "../envs/moco.yaml"
    threads: 1
    params:
        results=PLAN.report.results,
        digest=PLAN.report.digest,
    message:
        "report"
    shell:
        "moco report --results {params.results:q} --digest {params.digest} >{log:q} 2>&1"
