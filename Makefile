# make install   environment in .venv
# make demo      a first look: trains tiny models, compares methods, writes results/report.html
# make tour      everything that exists
# make evidence  the larger study on the tiny models that docs/evidence.md reports
# make test      all tests
PYTHON ?= python3
CORES ?= 2
SEEDS ?= 0 1 2
VENV := .venv
BIN := $(VENV)/bin
SHAPE = $(BIN)/python -m moco.zoo.shape --cache "$${MOCO_CACHE:-$$HOME/.cache/moco}" --jobs $(CORES)

# Without an NVIDIA driver the CPU build of torch is enough, and two gigabytes smaller.
ifeq ($(shell uname -s)-$(shell command -v nvidia-smi),Linux-)
TORCH ?= torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
else
TORCH ?= torch==2.13.0
endif

.PHONY: install demo tour evidence zoo-shape test lint reference lock clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 install")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)" 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --extra-index-url $(TORCH_INDEX) "$(TORCH)" \
	  || $(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[run,slurm,test]"
	touch $@

demo: install
	$(BIN)/snakemake --profile profiles/local --cores $(CORES)
	@echo "open results/report.html, or read results/tables/moco_main.md"

tour: install
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile config/tour.yaml

evidence: install
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile config/evidence.yaml
	for seed in $(SEEDS); do $(SHAPE) --seed $$seed > results/zoo_$$seed.md || exit 1; done
	$(BIN)/python -m moco.analysis.evidence config/evidence.yaml docs/evidence.md \
	  --append $(foreach seed,$(SEEDS),results/zoo_$(seed).md)

test: install
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow

# The shape of zoos that differ by chance alone; trains what is missing in $MOCO_CACHE.
zoo-shape: install
	for seed in $(SEEDS); do $(SHAPE) --seed $$seed || exit 1; done

reference: install
	$(BIN)/python -m moco.config.reference
	$(BIN)/python -m moco.tasks.reference

lock: install
	{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf results/* .snakemake
