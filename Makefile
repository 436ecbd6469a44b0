# make demo    builds an image and shows what its layers hold and what they cost
# make test    everything that CI runs
# make cost    measures snapshots against the size of the tree: bench/results/cost.md and cost.svg; needs root and 4 GB in /dev/shm
# make bench   criterion's benches, then whole builds by silt and its peers in turn: bench/results/compare.md; needs root, 16 GB in /dev/shm and an hour
# make soak    Dockerfiles over Debian by silt and by buildah, then 100,000 random sequences over the cells of
#              tests/cells/table.rs, which go on where they were ended
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test lint deps build bench cost soak clean unit end-to-end docs

# Static linking needs an explicit target, so programs land in a folder named after it.
BIN := $(or $(CARGO_TARGET_DIR),target)/$(shell rustc -vV | sed -n 's/^host: //p')/release

demo: deps build
	scripts/demo.sh $(BIN)/executor

test: deps lint unit end-to-end

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	shellcheck .ci/run scripts/*.sh bench/compare/run

# Everything but the tests that use the built program.
unit:
	cargo test --workspace --exclude silt
	cargo test --package silt --lib --bins
	cargo test --package silt --doc

# The optimised program, since some of these tests hold it to a time; `--nocapture` is not needed to see a failure.
end-to-end:
	cargo test --release --package silt --test it --test cells

soak: deps
	cargo test --release --package silt --test cells -- debian
	cargo test --release --package silt --test cells -- soak 100000

deps:
	scripts/install-deps.sh

build:
	cargo build --release

# A test fails when the page is not what this writes.
docs:
	cargo run --bin executor -- reference > docs/flags.md.new
	mv docs/flags.md.new docs/flags.md

bench: deps build
	scripts/install-deps.sh docker.io pigz isal
	cargo build --release --package silt-bench --examples
	cargo bench --package silt-bench
	bench/compare/run $(BIN)/executor

cost: deps build
	bench/cost.py $(BIN)/executor

clean:
	cargo clean
