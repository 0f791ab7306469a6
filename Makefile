# `make run` starts a development server, `make test` is everything that CI checks.
# CONTRIBUTING.md says how to run one test, or to use another PostgreSQL server.

SWIFT_BUILD := swift build
RELEASE := -c release --product less-sync

.PHONY: help run build release test format lint bench autobahn

help:
	@echo 'make run       build and start a development server on 127.0.0.1:5379, data in ./data'
	@echo 'make test      formatting, imports, links, all tests on SQLite and PostgreSQL, coverage gates'
	@echo 'make build     debug build of everything'
	@echo 'make release   release build of the less-sync program'
	@echo 'make format    rewrite the sources as swift-format wants them'
	@echo 'make lint      the checks that need no build'
	@echo 'make bench     the benchmarks of Benchmarks/, as tables; Scripts/bench --help for more'
	@echo 'make autobahn  the public Autobahn fuzzing client against our WebSocket layer'

run:
	@Scripts/run

release:
	@Scripts/install-packages
	$(SWIFT_BUILD) $(RELEASE)

build:
	@Scripts/install-packages
	$(SWIFT_BUILD) --build-tests --enable-code-coverage

test:
	@Scripts/test

format:
	swift format --in-place --recursive Package.swift Sources Tests Benchmarks

lint:
	swift format lint --strict --recursive Package.swift Sources Tests Benchmarks
	Scripts/check-imports
	Scripts/check-links

bench:
	@Scripts/bench

autobahn:
	@Scripts/autobahn.sh
