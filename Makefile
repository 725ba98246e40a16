# evenkeel. `make help` lists the targets.

.DEFAULT_GOAL := help
.PHONY: help demo build fetch hosts bindings test test-hosts load check install uninstall package try-packages wheel bench-static clean

CARGO ?= cargo
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: build fetch ## show a model before and after, on a fetched llama.cpp
	$(TARGET)/release/evenkeel demo

build: ## build the library and the tool: target/release/libevenkeel.so, target/release/evenkeel
	tests/hosts/need-rust
	$(CARGO) build --release --locked --package evenkeel --package evenkeel-cli

fetch: ## fetch the prebuilt llama.cpp programs that the tests use (about 200 MB, into ~/.cache/evenkeel)
	tests/hosts/fetch

hosts: ## compile the programs that no package brings compiled, fetch the Vulkan one (about half an hour)
	tests/hosts/build

test: build fetch ## run all tests, the hosts among them that package managers bring
	$(CARGO) test --workspace --locked

bindings: fetch ## write ffi/src/generated anew from llama.cpp's headers
	ffi/generate/run

test-hosts: test hosts ## run also the tests on compiled hosts and on the Vulkan backend
	ffi/generate/run --check
	$(CARGO) test --locked --package evenkeel-tests --test compiled --test vulkan

load: build fetch ## an hour of 16 clients at one server, a reload each second (LOAD: other seconds)
	EVENKEEL_LOAD_SECONDS=$(or $(LOAD),3600) $(CARGO) test --locked --package evenkeel-tests --test prebuilt -- many_clients --nocapture

check: ## check format, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package evenkeel-tests --test compiled --test vulkan --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --workspace --exclude evenkeel-cli --no-deps --locked
	# Apart: the tool and the library have the same name, and would write to the same folder.
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --package evenkeel-cli --no-deps --locked

install: build ## install library, header, tool, manual, completions and examples below PREFIX (/usr/local)
	package/install --record $(TARGET)/release $(DESTDIR)$(PREFIX)

uninstall: ## take away what `make install` put below PREFIX
	package/uninstall $(DESTDIR)$(PREFIX)

package: build ## write a release into target/package: an archive, a .deb, a Python wheel
	package/build $(TARGET)/release $(TARGET)/package

try-packages: package ## install, use and remove each package on a new Debian in the cache (root; some minutes)
	package/try $(TARGET)/package

wheel: build ## write the Python wheel alone
	bindings/python/build $(TARGET)/release/libevenkeel.so $(TARGET)/package

bench-static: build hosts ## measure the way in of programs that contain llama.cpp, in one (BENCH: more for `evenkeel bench`)
	tests/hosts/bench-static $(BENCH)

clean: ## remove what was built; fetched and compiled programs stay in the cache
	$(CARGO) clean
