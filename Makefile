# SPDX-License-Identifier: MIT
#
# One flat makefile.  Sources are found by wildcard: a file is in the build as soon as
# it lies in its room.  The words to know: make, make test, make demo, make lint,
# make soak, make fuzz, make bench, make accuracy, make install.  Variables: BUILD=dir, V=1 (show commands),
# SAN=asan|ubsan|tsan (asan has ubsan in it), T=name (run only the tests whose name contains it), BENCH=name,
# ACCURACY=part, PREFIX=, DESTDIR=.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

SAN ?=
V ?=
T ?=
BENCH ?=
ACCURACY ?=
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= $(if $(SAN),build/san-$(SAN),build)
# One name for each target, also if the environment has all of its path.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))

CC := gcc
CXX := g++
AR := ar
RUSTC ?= $(shell command -v rustc)

VERSION := $(shell sed -nE 's/.*CPROF_VERSION "(.*)"/\1/p' include/cprof_version.h)

# ---- sources ------------------------------------------------------------------------

PRELOAD_SRC := $(wildcard preload/*.c)
COLLECTOR_SRC := $(filter-out collector/main.c,$(wildcard collector/*.c))
TOOL_SRC := $(wildcard tools/*.c)
BENCH_SRC := $(wildcard tools/bench/*.c)
PRELOAD_TEST_SRC := $(wildcard tests/preload/test_*.c)
COLLECTOR_TEST_SRC := $(wildcard tests/collector/test_*.c)
TOOL_TEST_SRC := $(wildcard tests/tools/test_*.c)
SUPPORT_ALL := $(wildcard tests/support/*.c)
SUPPORT_PROGRAM_SRC := $(if $(SUPPORT_ALL),$(shell grep -l '^int main' $(SUPPORT_ALL)))
SUPPORT_LIB_SRC := $(filter-out $(SUPPORT_PROGRAM_SRC),$(SUPPORT_ALL))
VICTIM_DIRS := tests/integration/victims tests/integration/victims/hostile
VICTIM_LIB_SRC := $(foreach d,$(VICTIM_DIRS),$(wildcard $d/lib*.c $d/lib*.cc))
VICTIM_SRC := $(filter-out $(VICTIM_LIB_SRC),$(foreach d,$(VICTIM_DIRS),$(wildcard $d/*.c $d/*.cc \
	$(if $(RUSTC),$d/*.rs))))
INTEGRATION := $(sort $(wildcard tests/integration/test_*.sh))

# ---- products -----------------------------------------------------------------------

LIBRARY := $(BUILD)/libcprof.so
COLLECTOR := $(BUILD)/cprof-collector
TOOL := $(BUILD)/cprof
COLLECTOR_LIB := $(BUILD)/libcollector.a
GEN := $(BUILD)/gen
PROTO_H := $(GEN)/profile.pb-c.h

PRELOAD_OBJ := $(PRELOAD_SRC:%.c=$(BUILD)/%.o)
PRELOAD_TEST_OBJ := $(PRELOAD_SRC:%.c=$(BUILD)/renamed/%.o)
COLLECTOR_OBJ := $(COLLECTOR_SRC:%.c=$(BUILD)/%.o) $(GEN)/profile.pb-c.o
TOOL_OBJ := $(TOOL_SRC:%.c=$(BUILD)/%.o)
SUPPORT_LIB := $(if $(SUPPORT_LIB_SRC),$(BUILD)/tests/libsupport.a)
SUPPORT_LIB_OBJ := $(SUPPORT_LIB_SRC:%.c=$(BUILD)/%.o)
PRELOAD_TESTS := $(PRELOAD_TEST_SRC:%.c=$(BUILD)/%)
COLLECTOR_TESTS := $(COLLECTOR_TEST_SRC:%.c=$(BUILD)/%)
TOOL_TESTS := $(TOOL_TEST_SRC:%.c=$(BUILD)/%)
TOOL_TEST_OBJ := $(filter-out $(BUILD)/tools/cprof.o,$(TOOL_OBJ))
SUPPORT_PROGRAMS := $(SUPPORT_PROGRAM_SRC:tests/support/%.c=$(BUILD)/tests/%)
VICTIMS := $(patsubst tests/integration/victims/%,$(BUILD)/tests/victims/%,$(basename $(VICTIM_SRC))) \
	$(patsubst tests/integration/victims/%,$(BUILD)/tests/victims/%.so,$(basename $(VICTIM_LIB_SRC)))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(BENCH_SRC:tools/bench/%.c=$(BUILD)/bench/%)

# ---- flags --------------------------------------------------------------------------

SAN_FLAGS_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SAN_FLAGS_asan := -fsanitize=address $(SAN_FLAGS_ubsan) -fno-omit-frame-pointer
SAN_FLAGS_tsan := -fsanitize=thread
# Only by `make fuzz`, with clang: libFuzzer and two sanitizers.
SAN_FLAGS_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_FLAGS := $(if $(SAN),$(SAN_FLAGS_$(SAN)))
WARN := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Werror
BASE := -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARN) -MMD -MP
# Runs inside programs: nothing exported by accident, no PLT or TLS resolver in a handler,
# frame pointers so that unwinding starts cheaply, unwind tables so that it passes through.
PRELOAD_FLAGS := $(BASE) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-omit-frame-pointer \
	-fno-stack-protector -fno-plt -fno-exceptions -fasynchronous-unwind-tables -Iinclude -Ipreload
# Code and constants in one mapping: two fewer to be made, copied at each fork, and given up.
LIBRARY_LINK := -shared -Wl,-z,noseparate-code -Wl,-Bsymbolic-functions -Wl,-soname,libcprof.so -Wl,-z,defs -Wl,-z,now -Wl,--as-needed \
	-Wl,--version-script=preload/exports.map -Wl,-T,preload/sections.ld
COLLECTOR_FLAGS := $(BASE) $(SAN_FLAGS) -Iinclude -Icollector -I$(GEN)
TOOL_FLAGS := $(BASE) $(SAN_FLAGS) -Iinclude -Icollector -Itools -I$(GEN)
TEST_FLAGS := $(BASE) $(SAN_FLAGS) -Iinclude -Itests/support $(if $(filter tsan,$(SAN)),-Itests/support/tsan)
# Of what has a static library, that: each shared one, and what it needs in its turn (jemalloc: libstdc++), is time that
# a program's start has to compete with.
static_or_shared = $(or $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l$(2))
# A sanitizer brings its own allocator.
COLLECTOR_LIBS := -Wl,--as-needed $(if $(SAN),,-static-libgcc $(call static_or_shared,jemalloc_pic,jemalloc) \
	-lm) $(call static_or_shared,protobuf-c,protobuf-c) -lz -ldw -lelf -liberty -pthread
TEST_LIBS := -Wl,--as-needed $(if $(filter tsan,$(SAN)),tests/support/tsan/criterion.c,-lcriterion) -lunwind -pthread -ldl -lm
VICTIM_FLAGS := -O2 -g -pthread -Itests/integration/victims

# A test or victim may extend its flags: a comment `// cflags: ...` or `// ldflags: ...`
# among its first five lines.
own_flags = $(shell sed -nE '1,5s@^/[/*] *$(1): *([^*]*)(\*/)?$$@\1@p' $<)
quiet = $(if $(V),,@printf '  %-6s %s\n' $(1) '$@';)

# ---- what to make -------------------------------------------------------------------

.PHONY: all deps test soak fuzz fuzzers unit integration lint format bench bench-readme reliability-readme accuracy demo install clean test-programs unit-programs
all: $(LIBRARY) $(COLLECTOR) $(TOOL)

$(LIBRARY): $(PRELOAD_OBJ) preload/exports.map preload/sections.ld
	$(call quiet,LD)$(CC) $(LIBRARY_LINK) -o $@ $(PRELOAD_OBJ)

$(COLLECTOR_LIB): $(COLLECTOR_OBJ)
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $^

# Takes its libraries from lib/ beside it, if that is there, also those that it loads later: see share/cprof/bundle.sh.
$(COLLECTOR): $(BUILD)/collector/main.o $(COLLECTOR_LIB)
	$(call quiet,LD)$(CC) $(SAN_FLAGS) -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib' -o $@ $^ $(COLLECTOR_LIBS)

$(TOOL): $(TOOL_OBJ) $(COLLECTOR_LIB)
	$(call quiet,LD)$(CC) $(SAN_FLAGS) -o $@ $^ $(COLLECTOR_LIBS)

# ---- compiling ----------------------------------------------------------------------

$(BUILD)/preload/%.o: preload/%.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(PRELOAD_FLAGS) -c -o $@ $<

# For unit tests: CPROF_TEST renames what is interposed, so that a test's own malloc stays libc's.
$(BUILD)/renamed/preload/%.o: preload/%.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(PRELOAD_FLAGS) $(SAN_FLAGS) -DCPROF_TEST -c -o $@ $<

$(BUILD)/collector/%.o: collector/%.c Makefile | $(PROTO_H)
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(COLLECTOR_FLAGS) -c -o $@ $<

$(BUILD)/tools/%.o: tools/%.c Makefile | $(PROTO_H)
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(TOOL_FLAGS) -c -o $@ $<

$(GEN)/profile.pb-c.h $(GEN)/profile.pb-c.c &: collector/profile.proto
	@mkdir -p $(@D)
	$(call quiet,PROTOC)protoc-c --c_out=$(GEN) -Icollector $<

$(GEN)/profile.pb-c.o: $(GEN)/profile.pb-c.c Makefile
	$(call quiet,CC)$(CC) $(filter-out $(WARN),$(BASE)) $(SAN_FLAGS) -I$(GEN) -c -o $@ $<

# ---- test programs ------------------------------------------------------------------

$(BUILD)/tests/support/%.o: tests/support/%.c Makefile | $(PROTO_H)
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(TEST_FLAGS) -Icollector -I$(GEN) $(call own_flags,cflags) -c -o $@ $<

$(BUILD)/tests/libsupport.a: $(SUPPORT_LIB_OBJ)
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $^

$(PRELOAD_TESTS): $(BUILD)/%: %.c $(PRELOAD_TEST_OBJ) $(SUPPORT_LIB) Makefile
	@mkdir -p $(@D)
	$(call quiet,TEST)$(CC) $(TEST_FLAGS) -Ipreload -DCPROF_TEST $(call own_flags,cflags) -o $@ $< \
		$(PRELOAD_TEST_OBJ) $(SUPPORT_LIB) $(call own_flags,ldflags) $(TEST_LIBS)

$(COLLECTOR_TESTS): $(BUILD)/%: %.c $(COLLECTOR_LIB) $(SUPPORT_LIB) Makefile
	@mkdir -p $(@D)
	$(call quiet,TEST)$(CC) $(TEST_FLAGS) -Icollector -I$(GEN) $(call own_flags,cflags) -o $@ $< \
		$(SUPPORT_LIB) $(COLLECTOR_LIB) $(call own_flags,ldflags) $(TEST_LIBS) $(COLLECTOR_LIBS)

$(TOOL_TESTS): $(BUILD)/%: %.c $(TOOL_TEST_OBJ) $(COLLECTOR_LIB) $(SUPPORT_LIB) Makefile
	@mkdir -p $(@D)
	$(call quiet,TEST)$(CC) $(TEST_FLAGS) -Itools -Icollector -I$(GEN) $(call own_flags,cflags) -o $@ $< \
		$(TOOL_TEST_OBJ) $(SUPPORT_LIB) $(COLLECTOR_LIB) $(call own_flags,ldflags) $(TEST_LIBS) $(COLLECTOR_LIBS)

$(SUPPORT_PROGRAMS): $(BUILD)/tests/%: tests/support/%.c $(GEN)/profile.pb-c.o $(SUPPORT_LIB) Makefile
	@mkdir -p $(@D)
	$(call quiet,TEST)$(CC) $(filter-out $(SAN_FLAGS),$(TEST_FLAGS)) -I$(GEN) $(call own_flags,cflags) -o $@ $< \
		$(GEN)/profile.pb-c.o $(SUPPORT_LIB) $(call own_flags,ldflags) $(SAN_FLAGS) -lprotobuf-c -lz -pthread -ldl -lm

# Victims are built as any program would be; what they show must not depend on our flags.
VICTIM_COMMON := $(foreach d,$(VICTIM_DIRS),$(wildcard $d/*.h)) Makefile
$(BUILD)/tests/victims/%.so: tests/integration/victims/%.c $(VICTIM_COMMON)
	@mkdir -p $(@D)
	$(call quiet,VICTIM)$(CC) -D_GNU_SOURCE $(VICTIM_FLAGS) -fPIC -shared $(call own_flags,cflags) -o $@ $< $(call own_flags,ldflags)
$(BUILD)/tests/victims/%.so: tests/integration/victims/%.cc $(VICTIM_COMMON)
	@mkdir -p $(@D)
	$(call quiet,VICTIM)$(CXX) $(VICTIM_FLAGS) -fPIC -shared $(call own_flags,cflags) -o $@ $< $(call own_flags,ldflags)
$(BUILD)/tests/victims/%: tests/integration/victims/%.c $(VICTIM_COMMON)
	@mkdir -p $(@D)
	$(call quiet,VICTIM)$(CC) -D_GNU_SOURCE $(VICTIM_FLAGS) $(call own_flags,cflags) -o $@ $< $(VICTIM_LIBS) $(call own_flags,ldflags)
$(BUILD)/tests/victims/%: tests/integration/victims/%.cc $(VICTIM_COMMON)
	@mkdir -p $(@D)
	$(call quiet,VICTIM)$(CXX) $(VICTIM_FLAGS) $(call own_flags,cflags) -o $@ $< $(call own_flags,ldflags)
$(BUILD)/tests/victims/%: tests/integration/victims/%.rs Makefile
	@mkdir -p $(@D)
	$(call quiet,VICTIM)MAKEFLAGS= $(RUSTC) -g -O $(call own_flags,cflags) -o $@ $< $(call own_flags,ldflags)

# Those that are linked with a library beside them.
HOSTILE := $(BUILD)/tests/victims/hostile
$(HOSTILE)/early_constructor: $(HOSTILE)/libearly.so
$(HOSTILE)/malloc_in_dlsym: $(HOSTILE)/libslow_malloc.so
$(filter $(HOSTILE)/%,$(VICTIMS)): VICTIM_FLAGS += -fno-builtin-malloc -fno-builtin-free
$(HOSTILE)/early_constructor $(HOSTILE)/malloc_in_dlsym: VICTIM_LIBS = -L$(HOSTILE) -Wl,-rpath,$(abspath $(HOSTILE))

# Fuzzers of one room each; without libFuzzer a driver feeds them.
FUZZ_LINK = $(if $(filter fuzz,$(SAN)),-fsanitize=fuzzer,tests/fuzz/driver.c)
$(filter $(BUILD)/tests/fuzz/fuzz_preload%,$(FUZZERS)): FUZZ_ROOM = -Ipreload -DCPROF_TEST $(PRELOAD_TEST_OBJ) -pthread
$(filter $(BUILD)/tests/fuzz/fuzz_preload%,$(FUZZERS)): $(PRELOAD_TEST_OBJ)
$(filter $(BUILD)/tests/fuzz/fuzz_collector%,$(FUZZERS)): FUZZ_ROOM = -Icollector -I$(GEN) $(SUPPORT_LIB) $(COLLECTOR_LIB) $(COLLECTOR_LIBS)
$(filter $(BUILD)/tests/fuzz/fuzz_collector%,$(FUZZERS)): $(COLLECTOR_LIB)
$(FUZZERS): $(BUILD)/%: %.c tests/fuzz/driver.c tests/fuzz/fuzz.h $(SUPPORT_LIB) Makefile
	@mkdir -p $(@D)
	$(call quiet,FUZZ)$(CC) $(filter-out -MMD -MP,$(TEST_FLAGS)) -Itests/fuzz -o $@ $< $(FUZZ_LINK) $(FUZZ_ROOM)

test-programs: $(SUPPORT_PROGRAMS) $(VICTIMS) $(FUZZERS)

# ---- running ------------------------------------------------------------------------

# ThreadSanitizer sees threads of one process: the ring and the tables are what it can judge.
TSAN_STEMS := test_ring_consumer test_stack_table test_live test_record test_rule_cache \
	test_lock_waiters test_trace test_label_table test_modules
UNIT_TESTS := $(PRELOAD_TESTS) $(COLLECTOR_TESTS) $(TOOL_TESTS)
ifeq ($(SAN),tsan)
UNIT_TESTS := $(foreach t,$(UNIT_TESTS),$(if $(filter $(TSAN_STEMS),$(notdir $(t))),$(t)))
endif
RUN_TESTS := BUILD='$(abspath $(BUILD))' tests/run.sh --filter '$(T)'

deps:
	@tools/install_packages.sh

test: deps
	@$(MAKE) --no-print-directory all test-programs unit-programs
	@$(RUN_TESTS) $(UNIT_TESTS) $(INTEGRATION)

unit-programs: $(UNIT_TESTS)

unit: $(UNIT_TESTS)
	@$(RUN_TESTS) $(UNIT_TESTS)

integration: all test-programs
	@$(RUN_TESTS) $(INTEGRATION)

# Everything again and again in random order: make soak SOAK_SECONDS=3600 T=name
SOAK_SECONDS ?= 600
soak: deps
	@$(MAKE) --no-print-directory all test-programs
	@BUILD='$(abspath $(BUILD))' tests/soak.sh $(SOAK_SECONDS) $(T)

# Each fuzzer for so long, from seeds made of real data: make fuzz FUZZ_SECONDS=600 T=name
FUZZ_SECONDS ?= 20
fuzz: deps
	@$(MAKE) --no-print-directory all test-programs
	@$(MAKE) --no-print-directory SAN=fuzz CC=clang BUILD='$(BUILD)/san-fuzz' fuzzers
	@BUILD='$(abspath $(BUILD))' tests/fuzz/fuzz.sh $(FUZZ_SECONDS) $(T)

fuzzers: $(FUZZERS)

demo: deps
	@$(MAKE) --no-print-directory all
	@BUILD='$(abspath $(BUILD))' tools/demo.sh

# Some are parts of the collector or the library at work.
$(BUILD)/bench/symbolise: BENCH_LIBS := $(COLLECTOR_LIB) $(COLLECTOR_LIBS)
$(BUILD)/bench/symbolise: $(COLLECTOR_LIB)
$(BUILD)/bench/trace: BENCH_LIBS := $(PRELOAD_TEST_OBJ) $(COLLECTOR_LIB) -ldl
$(BUILD)/bench/trace: $(PRELOAD_TEST_OBJ) $(COLLECTOR_LIB)
$(BUILD)/bench/%: tools/bench/%.c Makefile
	@mkdir -p $(@D)
	$(call quiet,BENCH)$(CC) $(BASE) -Iinclude $(call own_flags,cflags) -o $@ $< $(call own_flags,ldflags) \
		$(BENCH_LIBS) -pthread -lm

# Those whose ldflags name sources of preload/ are made again when these change.
WITH_PRELOAD := $(shell grep -lE 'ldflags:.* preload/' $(BENCH_SRC) tests/integration/victims/*.c)
$(patsubst tools/bench/%.c,$(BUILD)/bench/%,$(filter tools/%,$(WITH_PRELOAD))) \
$(patsubst tests/integration/victims/%.c,$(BUILD)/tests/victims/%.so,$(filter tests/%,$(WITH_PRELOAD))): \
	$(PRELOAD_SRC) $(wildcard preload/*.h include/*.h)

bench: deps
	@tools/install_packages.sh bench
	@$(MAKE) --no-print-directory all $(BENCHES)
	@BUILD='$(abspath $(BUILD))' tools/bench/bench.py $(BENCH)

accuracy: deps
	@tools/install_packages.sh bench
	@$(MAKE) --no-print-directory all $(VICTIMS)
	@BUILD='$(abspath $(BUILD))' tools/bench/accuracy.py $(ACCURACY)

bench-readme:
	@BUILD='$(abspath $(BUILD))' tools/bench/bench.py --readme
	@BUILD='$(abspath $(BUILD))' tools/bench/accuracy.py --readme

# Puts the last runs' tables into README.md: make reliability-readme LOGS='...'
LOGS ?= $(wildcard $(BUILD)/tests/logs/integration-*.log $(BUILD)/tests/soak/*.log $(BUILD)/fuzz/fuzz.log)
reliability-readme:
	@tests/support/reliability.py README.md $(LOGS)

# Rewrites the sources in the style that lint demands.
format:
	find include preload collector tools tests -name '*.[ch]' ! -path '*/victims/*' -exec clang-format -i {} +

lint: all
	@BUILD='$(abspath $(BUILD))' tools/lint.sh

install: all
	install -D -m 755 $(LIBRARY) '$(DESTDIR)$(PREFIX)/lib/libcprof.so'
	install -D -m 755 $(TOOL) '$(DESTDIR)$(PREFIX)/bin/cprof'
	install -D -m 755 $(COLLECTOR) '$(DESTDIR)$(PREFIX)/libexec/cprof/cprof-collector'
	install -D -m 644 include/cprof.h '$(DESTDIR)$(PREFIX)/include/cprof.h'
	install -d '$(DESTDIR)$(PREFIX)/lib/pkgconfig'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' share/cprof.pc.in >'$(DESTDIR)$(PREFIX)/lib/pkgconfig/cprof.pc'
	install -D -m 644 tools/cprof.1 '$(DESTDIR)$(PREFIX)/share/man/man1/cprof.1'
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/cprof' $(wildcard share/cprof/*)

clean:
	rm -rf $(BUILD)

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
