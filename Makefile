# mod_serverless_functions; "make help" lists the chores.

PORT    ?= 8080
RUN_DIR ?= .run
PREFIX  ?= /usr/local
TESTS   ?=
CMD     ?= --help

APXS    ?= apxs
BUILD   := build$(if $(SANITIZE),/sanitize)
MODULE  := $(BUILD)/mod_serverless_functions.so
SDK     := build/sdk/node_modules/.package-lock.json
PEERS   := build/bench/peers/node_modules/.package-lock.json
LIMIT   := build/bench/mod_bench_limit.so
DATADIR := $(PREFIX)/share/mod_serverless_functions
MANDIR  := $(PREFIX)/share/man

FOLDERS := core $(patsubst %/,%,$(wildcard core/*/)) directives handlers worker
SOURCES := mod_serverless_functions.c $(sort $(wildcard $(FOLDERS:%=%/*.c)))
HEADERS := $(sort $(wildcard $(FOLDERS:%=%/*.h)))
QUERIES := $(wildcard sql/queries/*.sql)
SCHEMA  := $(wildcard sql/schema/*.sql)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/statements.o
CHECKED := $(SOURCES) bench/mod_bench_limit.c
MADE    := build/statements.h build/compile_check.h build/openapi_text.h build/version.h
UNIT    := $(BUILD)/unit_tests.so
UNIT_SOURCES := t/unit/mod_unit_tests.c $(sort $(wildcard t/unit/*_test.c))
FORMATTED := $(CHECKED) $(HEADERS) $(UNIT_SOURCES) $(wildcard t/unit/*.h)
UNIT_OBJECTS := $(UNIT_SOURCES:%.c=$(BUILD)/%.o)

# $(call once,NAME,COMMAND): the command's output, asked for at first use only.
# What it asks may not be installed yet when this file is read.
once = $(eval $1 := $(shell $2))$($1)

CC       = $(call once,CC,$(APXS) -q CC)
INCLUDES = $(call once,INCLUDES,echo "-I`$(APXS) -q INCLUDEDIR`" \
	`apr-1-config --includes` `apu-1-config --includes` \
	`pkg-config --cflags json-c libpq libcrypto`)
CFLAGS   = $(call once,CFLAGS,echo `$(APXS) -q CFLAGS` `$(APXS) -q EXTRA_CPPFLAGS`)
LIBS     = $(call once,LIBS,pkg-config --libs json-c libpq libcrypto)
LIBEXEC  = $(call once,LIBEXEC,$(APXS) -q LIBEXECDIR)

OURS     := -std=gnu11 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -I. -Ibuild
ifdef SANITIZE
OURS     += -fsanitize=address,undefined -fno-omit-frame-pointer
endif

export PORT RUN_DIR SANITIZE PIPELINING MPM

.PHONY: all run start stop admin test unit bench lint format install clean help \
	packages-build packages-run packages-test packages-bench packages-lint
.DELETE_ON_ERROR:

all: $(MODULE) ## build the module (SANITIZE=1: with address and undefined behaviour checks)

run: packages-run all ## build it and run it on 127.0.0.1:PORT until Ctrl-C, with its data in RUN_DIR
	@tools/dev-server run $(MODULE)

start: packages-run all ## the same in the background; returns when the API answers
	@tools/dev-server start $(MODULE)

stop: ## stop what "make start" started
	@tools/dev-server stop

admin: ## administer the running server's accounts, e.g. make admin CMD="account list"
	@tools/dev-server admin $(CMD)

test: packages-test all $(UNIT) $(SDK) ## run the tests; TESTS="t/smoke.t ..." picks some, SANITIZE=1 checks memory, PIPELINING=Off and MPM=worker go other ways
	@tools/run-tests $(MODULE) $(TESTS)

unit: packages-test $(UNIT) ## run the unit tests in C alone
	@UNIT_TESTS=$(abspath $(UNIT)) prove $(if $(VERBOSE),-v) t/unit.t

bench: packages-bench all $(LIMIT) $(PEERS) ## measure it beside its peers, in about 10 minutes; ROUNDS=3, SECONDS=1 and ONLY=get,list50 make it shorter or longer
	@ROUNDS="$(ROUNDS)" SECONDS="$(SECONDS)" ONLY="$(ONLY)" bench/run $(MODULE)

lint: packages-lint all ## check the code's directions, sizes, comments and format, and look for likely mistakes in it
	@tools/check-directions $(BUILD)
	@tools/check-directives
	@tools/check-style $(SOURCES) $(HEADERS)
	@echo "  FORMAT"
	@clang-format --dry-run -Werror $(FORMATTED)
	@echo "  TIDY"
	@clang-tidy --quiet $(CHECKED) -- $(OURS) $(INCLUDES) $(CFLAGS)
	@echo "  CPPCHECK"
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem -I. -Ibuild $(CHECKED)
	@echo "  PYFLAKES"
	@pyflakes3 bench/run bench/*.py

format: packages-lint ## format the C code
	@clang-format -i $(FORMATTED)

install: all ## install the module, serverless-admin and its manual, the schema and the sample configuration
	install -d "$(DESTDIR)$(LIBEXEC)" "$(DESTDIR)$(PREFIX)/bin" \
		"$(DESTDIR)$(DATADIR)/conf" "$(DESTDIR)$(DATADIR)/sql/schema" "$(DESTDIR)$(MANDIR)/man8"
	install -m 644 $(MODULE) "$(DESTDIR)$(LIBEXEC)"
	install -m 755 bin/serverless-admin "$(DESTDIR)$(PREFIX)/bin"
	install -m 644 docs/serverless-admin.8 "$(DESTDIR)$(MANDIR)/man8"
	install -m 644 VERSION "$(DESTDIR)$(DATADIR)"
	install -m 644 sql/schema/*.sql "$(DESTDIR)$(DATADIR)/sql/schema"
	install -m 644 conf/serverless_functions.load conf/serverless_functions.conf \
		"$(DESTDIR)$(DATADIR)/conf"

clean: ## remove what was built; the data in RUN_DIR stays
	rm -rf build

help: ## list these
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1	/p' Makefile | expand -t 10

# Quick when nothing is missing, so that no chore needs a step before it.
packages-build:
	@tools/packages build
packages-run:
	@tools/packages build run
packages-test:
	@tools/packages build run test
packages-bench:
	@tools/packages build run bench
packages-lint:
	@tools/packages build lint

$(MODULE): $(OBJECTS)
	@echo "  LINK $@"
	@$(CC) -shared $(OURS) $(CFLAGS) -o $@ $(OBJECTS) $(LIBS)

$(UNIT): $(OBJECTS) $(UNIT_OBJECTS)
	@echo "  LINK $@"
	@$(CC) -shared $(OURS) $(CFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(UNIT_OBJECTS): | packages-test

$(BUILD)/%.o: %.c | $(MADE) packages-build
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(OURS) $(INCLUDES) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/statements.o: build/statements.c build/statements.h | packages-build
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(OURS) $(INCLUDES) $(CFLAGS) -MMD -MP -c -o $@ $<

# The directories, because a file that was renamed or removed is no newer than what was made of it.
build/statements.h build/statements.c &: tools/compile-queries $(QUERIES) $(SCHEMA) sql/queries sql/schema
	@mkdir -p build
	tools/compile-queries build/statements $(QUERIES)

build/version.h: VERSION
	@mkdir -p build
	printf '#define SF_VERSION "%s"\n' "$$(cat VERSION)" > $@

build/compile_check.h: tools/embed worker/compile_check.js
	@mkdir -p build
	tools/embed sf_compile_check worker/compile_check.js > $@

build/openapi_text.h: tools/embed docs/openapi.yaml
	@mkdir -p build
	tools/embed sf_openapi_text docs/openapi.yaml > $@

$(LIMIT): bench/mod_bench_limit.c | packages-bench
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) -shared $(OURS) $(INCLUDES) $(CFLAGS) -o $@ $<

# npm writes these files last. No package of these runs a script of its own.
$(SDK): t/sdk/package.json t/sdk/package-lock.json | packages-test
$(PEERS): bench/peers/package.json bench/peers/package-lock.json | packages-bench
$(SDK) $(PEERS):
	@echo "  NPM $(@:/node_modules/.package-lock.json=)"
	@mkdir -p $(@:/node_modules/.package-lock.json=)
	@cp $^ $(@:/node_modules/.package-lock.json=)
	@cd $(@:/node_modules/.package-lock.json=) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

-include $(OBJECTS:.o=.d) $(UNIT_OBJECTS:.o=.d)
