# mod_serverless_functions. "make help" lists the targets.

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
TWILIO  := build/bench/packages/node_modules/.package-lock.json
LIMIT   := build/bench/mod_bench_limit.so
DATADIR := $(PREFIX)/share/mod_serverless_functions
PROGDIR := $(PREFIX)/libexec/mod_serverless_functions
MANDIR  := $(PREFIX)/share/man
COMPLETIONS := $(PREFIX)/share/bash-completion/completions

FOLDERS := core $(patsubst %/,%,$(wildcard core/*/)) runtime/domains runtime/protocol directives handlers worker status
SOURCES := mod_serverless_functions.c $(sort $(wildcard $(FOLDERS:%=%/*.c)))
HEADERS := $(sort $(wildcard $(FOLDERS:%=%/*.h) runtime/runner/*.h))
QUERIES := $(wildcard sql/queries/*.sql)
SCHEMA  := $(wildcard sql/schema/*.sql)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/statements.o
CRYPT   := $(BUILD)/serverless-crypt
CRYPT_OBJECTS := $(addprefix $(BUILD)/,bin/serverless_crypt.o core/sid.o \
	core/crypto/keyring.o core/crypto/sealed.o core/crypto/signing_key.o)
SAMPLES := serverless_functions.load serverless_functions.conf serverless_api.conf serverless_execution.conf
RUNNER  := $(BUILD)/serverless-runner
RUNNER_SOURCES := $(sort $(wildcard runtime/runner/*.c))
RUNNER_OBJECTS := $(RUNNER_SOURCES:%.c=$(BUILD)/%.o) $(addprefix $(BUILD)/core/,clock.o json.o json_text.o sid.o \
	crypto/sha256.o process/restriction.o process/sandbox.o process/seccomp.o) $(BUILD)/runtime/protocol/control.o
TRIM    := runtime/isolate/malloc_trim.node
TRIM_OBJECT := $(BUILD)/runtime/isolate/malloc_trim.o
CHECKED := $(SOURCES) $(RUNNER_SOURCES) $(TRIM:.node=.c) bin/serverless_crypt.c bench/mod_bench_limit.c
MADE    := build/statements.h build/compile_check.h build/openapi_text.h build/version.h
UNIT    := $(BUILD)/unit_tests.so
UNIT_SOURCES := t/unit/mod_unit_tests.c $(sort $(wildcard t/unit/*_test.c))
FORMATTED := $(CHECKED) $(HEADERS) $(UNIT_SOURCES) $(wildcard t/unit/*.h)
UNIT_OBJECTS := $(UNIT_SOURCES:%.c=$(BUILD)/%.o)

# $(call once,NAME,COMMAND) is the output of COMMAND, which runs at the first use of
# NAME: the program may not be installed yet when make reads this file.
once = $(eval $1 := $(shell $2))$($1)

CC       = $(call once,CC,$(APXS) -q CC)
INCLUDES = $(call once,INCLUDES,echo "-I`$(APXS) -q INCLUDEDIR`" \
	`apr-1-config --includes` `apu-1-config --includes` \
	`pkg-config --cflags json-c libpq libcrypto`)
CFLAGS   = $(call once,CFLAGS,echo `$(APXS) -q CFLAGS` `$(APXS) -q EXTRA_CPPFLAGS`)
LIBS     = $(call once,LIBS,pkg-config --libs json-c libpq libcrypto libseccomp)
CRYPT_LIBS = $(call once,CRYPT_LIBS,echo `apr-1-config --link-ld` `pkg-config --libs libcrypto`)
RUNNER_LIBS = $(call once,RUNNER_LIBS,echo `apr-1-config --link-ld` `pkg-config --libs json-c libcrypto libseccomp`)
LIBEXEC  = $(call once,LIBEXEC,$(APXS) -q LIBEXECDIR)
SYSCONF  = $(call once,SYSCONF,$(APXS) -q SYSCONFDIR)
PROGNAME = $(call once,PROGNAME,$(APXS) -q PROGNAME)

# The directory of logs in the samples: Debian's httpd, apache2, has a variable for it.
LOGDIR   = $(if $(filter apache2,$(PROGNAME)),$${APACHE_LOG_DIR},$(call once,LOGFILEDIR,$(APXS) -q logfiledir))

# Targets that may install packages. "make" and "make install" never do.
INSTALLING := $(filter run start test test-all unit bench attack soak lint format,$(MAKECMDGOALS))

# A warning is an error for developers of the module, not for a user's compiler.
WERROR   ?= $(if $(filter test test-all unit bench attack soak lint,$(MAKECMDGOALS)),1)

# Suites that need the npm packages of t/sdk. The others need none.
NPM_USES   := t/sdk|Serverless::Toolkit|ENV\{NODE\}|command -v npm
NPM_SUITES := $(shell grep -lE '$(NPM_USES)' $(or $(TESTS),t/*.t))

OURS     := -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror) -fPIC -fvisibility=hidden -I. -Ibuild
ifdef SANITIZE
OURS     += -fsanitize=address,undefined -fno-omit-frame-pointer
endif

export PORT RUN_DIR SANITIZE PIPELINING MPM NPM_SUITES

.PHONY: all run start stop admin test test-all unit bench attack soak lint format install uninstall dist deb clean help \
	packages-build packages-run packages-test packages-npm packages-bench packages-lint
.DELETE_ON_ERROR:

all: $(MODULE) $(CRYPT) $(RUNNER) $(TRIM) ## build the module, serverless-crypt and serverless-runner; WERROR=1 makes warnings errors, SANITIZE=1 adds checks of addresses and undefined behaviour

run: packages-run all ## build the module and run a server on 127.0.0.1:PORT until Ctrl-C; its data is in RUN_DIR
	@tools/dev-server run $(MODULE)

start: packages-run all ## run the same server in the background; returns when the API answers
	@tools/dev-server start $(MODULE)

stop: ## stop the server of "make start"
	@tools/dev-server stop

admin: ## run serverless-admin for that server: make admin CMD="account list"
	@tools/dev-server admin $(CMD)

test: packages-test all $(UNIT) $(if $(NPM_SUITES),$(SDK)) ## run the tests; TESTS="t/smoke.t ..." selects some; SANITIZE=1, PIPELINING=Off or MPM=worker changes the server, JOBS=1 runs one suite at a time
	@tools/share-tests $(MODULE) $(TESTS)

test-all: packages-test packages-bench all $(UNIT) $(LIMIT) $(PEERS) $(SDK) ## run the tests with their load cases in full, then the attacks and a minute's soak: about 25 minutes
	@FULL=1 tools/share-tests $(MODULE) $(TESTS)
	@bench/attack $(MODULE)
	@MINUTES=1 bench/soak $(MODULE)

unit: packages-test $(UNIT) ## run the unit tests in C alone
	@UNIT_TESTS=$(abspath $(UNIT)) prove $(if $(VERBOSE),-v) t/unit.t

bench: packages-bench all $(LIMIT) $(PEERS) $(SDK) $(TWILIO) ## measure the module beside other servers, in about 20 minutes; ROUNDS=3 SECONDS=1 ONLY=get,list50 sets the extent
	@ROUNDS="$(ROUNDS)" SECONDS="$(SECONDS)" ONLY="$(ONLY)" bench/run $(MODULE)

attack: packages-bench all ## measure how long an account waits while another one attacks, in about 4 minutes; ONLY=lock,silence selects attacks
	@SECONDS="$(SECONDS)" ONLY="$(ONLY)" bench/attack $(MODULE)

soak: packages-bench all $(LIMIT) $(PEERS) ## call Functions for MINUTES=10, and fail where httpd's or the runner's memory, descriptors or processes grow
	@MINUTES="$(MINUTES)" bench/soak $(MODULE)

lint: packages-lint all ## check the code's directions, sizes, comments and format, and look for likely mistakes in it
	@tools/check-directions $(BUILD)
	@tools/check-directives
	@tools/check-style $(SOURCES) $(RUNNER_SOURCES) $(HEADERS)
	@echo "  FORMAT"
	@clang-format --dry-run -Werror $(FORMATTED)
	@echo "  TIDY"
	@clang-tidy --quiet $(CHECKED) -- $(OURS) $(INCLUDES) $(CFLAGS)
	@echo "  CPPCHECK"
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=toomanyconfigs \
		--include="`apr-1-config --includedir`/apr_ring.h" -I. -Ibuild $(CHECKED)
	@echo "  PYFLAKES"
	@pyflakes3 bench/run bench/attack bench/soak bench/*.py t/python/*.py
	@echo "  NODE"
	@for file in runtime/*/*.js t/isolate/*.js t/registry/*.js tools/try-templates bench/*.js worker/*.js; do node --check $$file || exit 1; done

format: packages-lint ## format the C code
	@clang-format -i $(FORMATTED)

install: all ## install the module, serverless-admin with its program and manual, serverless-runner, the schema and the sample configuration
	install -d "$(DESTDIR)$(LIBEXEC)" "$(DESTDIR)$(PREFIX)/bin" \
		"$(DESTDIR)$(PROGDIR)" "$(DESTDIR)$(DATADIR)/conf/monitoring" "$(DESTDIR)$(DATADIR)/sql/schema" "$(DESTDIR)$(MANDIR)/man8"
	install -m 644 $(MODULE) "$(DESTDIR)$(LIBEXEC)"
	install -m 755 bin/serverless-admin "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 $(CRYPT) "$(DESTDIR)$(PROGDIR)"
	install -d "$(DESTDIR)$(PREFIX)/sbin" "$(DESTDIR)$(DATADIR)/isolate"
	install -d "$(DESTDIR)$(DATADIR)/install" "$(DESTDIR)$(DATADIR)/runtime/packages"
	install -m 755 $(RUNNER) "$(DESTDIR)$(PREFIX)/sbin"
	install -m 644 runtime/isolate/*.js $(TRIM) "$(DESTDIR)$(DATADIR)/isolate"
	install -m 644 runtime/install/*.js "$(DESTDIR)$(DATADIR)/install"
	install -m 644 runtime/packages/*.json "$(DESTDIR)$(DATADIR)/runtime/packages"
	install -m 644 docs/serverless-admin.8 docs/serverless-runner.8 "$(DESTDIR)$(MANDIR)/man8"
	install -m 644 VERSION "$(DESTDIR)$(DATADIR)"
	install -D -m 644 bin/serverless-admin.completion "$(DESTDIR)$(COMPLETIONS)/serverless-admin"
	install -m 644 sql/schema/*.sql "$(DESTDIR)$(DATADIR)/sql/schema"
	install -m 644 conf/monitoring/* "$(DESTDIR)$(DATADIR)/conf/monitoring"
	for file in $(SAMPLES); do \
		sed -e 's|/usr/lib/apache2/modules/|$(LIBEXEC)/|' -e 's|/etc/apache2/|$(SYSCONF)/|' \
			-e 's|$${APACHE_LOG_DIR}|$(LOGDIR)|' \
			conf/$$file >"$(DESTDIR)$(DATADIR)/conf/$$file" || exit 1; \
	done
	for file in serverless-runner.conf serverless-runner.service; do \
		sed 's|/usr/local/|$(PREFIX)/|' conf/$$file >"$(DESTDIR)$(DATADIR)/conf/$$file" || exit 1; \
	done

uninstall: ## remove what "make install" has installed; configuration and database stay
	rm -f "$(DESTDIR)$(LIBEXEC)/$(notdir $(MODULE))" "$(DESTDIR)$(PREFIX)/bin/serverless-admin" \
		"$(DESTDIR)$(PREFIX)/sbin/serverless-runner" \
		"$(DESTDIR)$(MANDIR)/man8/serverless-admin.8" "$(DESTDIR)$(MANDIR)/man8/serverless-runner.8" \
		"$(DESTDIR)$(COMPLETIONS)/serverless-admin"
	rm -rf "$(DESTDIR)$(PROGDIR)" "$(DESTDIR)$(DATADIR)"

dist: ## make build/dist/mod_serverless_functions-VERSION.tar.gz of the last commit
	@install -d build/dist
	@git archive --format=tar.gz --prefix=mod_serverless_functions-$$(cat VERSION)/ \
		-o build/dist/mod_serverless_functions-$$(cat VERSION).tar.gz HEAD
	@ls build/dist/mod_serverless_functions-$$(cat VERSION).tar.gz

deb: packages-deb dist ## make Debian packages of the last commit in build/deb
	@rm -rf build/deb && install -d build/deb
	@tar -xzf build/dist/mod_serverless_functions-$$(cat VERSION).tar.gz -C build/deb
	@cd build/deb/mod_serverless_functions-$$(cat VERSION) && dpkg-buildpackage -us -uc -b
	@ls build/deb/*.deb

clean: ## remove all built files; the data in RUN_DIR stays
	rm -rf build $(TRIM)

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1	/p' Makefile | expand -t 10

# Installs missing packages, or for "make" and "make install" only names them. It is quick when all
# are there, so every target may need it.
packages-build:
	@tools/packages $(if $(INSTALLING),build,check)
packages-run:
	@tools/packages build run
packages-test:
	@tools/packages build run test
packages-npm:
	@tools/packages npm
packages-bench:
	@tools/packages build run bench
packages-lint:
	@tools/packages build lint
packages-deb:
	@tools/packages build deb

$(MODULE): $(OBJECTS)
	@echo "  LINK $@"
	@$(CC) -shared $(OURS) $(CFLAGS) -o $@ $(OBJECTS) $(LIBS)

$(UNIT): $(OBJECTS) $(UNIT_OBJECTS) $(addprefix $(BUILD)/runtime/runner/,pool.o decisions.o)
	@echo "  LINK $@"
	@$(CC) -shared $(OURS) $(CFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(UNIT_OBJECTS): | packages-test

$(CRYPT): $(CRYPT_OBJECTS)
	@echo "  LINK $@"
	@$(CC) $(OURS) $(CFLAGS) -o $@ $^ $(CRYPT_LIBS)

$(RUNNER): $(RUNNER_OBJECTS)
	@echo "  LINK $@"
	@$(CC) $(OURS) $(CFLAGS) -o $@ $^ $(RUNNER_LIBS)

# The module of Node.js is beside the JavaScript that loads it: the cage has one folder of the isolate. Node.js is built
# without sanitizers.
$(TRIM) $(TRIM_OBJECT): OURS := $(filter-out -fsanitize=%,$(OURS))
$(TRIM): $(TRIM_OBJECT)
	@echo "  LINK $@"
	@$(CC) -shared $(OURS) $(CFLAGS) -o $@ $<

$(BUILD)/%.o: %.c | $(MADE) packages-build
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(OURS) $(INCLUDES) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/statements.o: build/statements.c build/statements.h | packages-build
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(OURS) $(INCLUDES) $(CFLAGS) -MMD -MP -c -o $@ $<

# The directories are prerequisites because a renamed or removed file is not newer than the target.
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

# npm writes these files last. No package runs a script of its own during the installation.
$(SDK): t/sdk/package.json t/sdk/package-lock.json | packages-npm
$(PEERS): bench/peers/package.json bench/peers/package-lock.json | packages-bench
$(TWILIO): runtime/packages/package.json runtime/packages/package-lock.json | packages-bench
$(SDK) $(PEERS) $(TWILIO):
	@echo "  NPM $(@:/node_modules/.package-lock.json=)"
	@mkdir -p $(@:/node_modules/.package-lock.json=)
	@cp $^ $(@:/node_modules/.package-lock.json=)
	@cd $(@:/node_modules/.package-lock.json=) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

-include $(OBJECTS:.o=.d) $(BUILD)/bin/serverless_crypt.d $(RUNNER_OBJECTS:.o=.d) $(UNIT_OBJECTS:.o=.d)
