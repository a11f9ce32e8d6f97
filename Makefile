# The one entry point.  `make` says what there is.

BASE ?= 10.0
JOBS ?= $(shell nproc)
QEMU_SRC ?=
PREFIX ?=
SANITIZE ?=
FUZZ_TIME ?= 60
ONTO ?=
FROM ?= $(BASE)
TO ?=
PATCH ?=
TOPICS ?= all
export BASE JOBS QEMU_SRC PREFIX TOPICS PATCH

LINES = $(shell cd patches && printf '%s\n' * | sort -V)

# The qtests that `make check` and `make check-targets` run
qtests = $(addprefix tests/$(1)/,$(shell BASE='$(BASE)' sh -c \
	'. scripts/lib.sh; . scripts/check/qtest.sh; qtests $(2)' scripts/check/qtests))
QTESTS = $(call qtests,qtest,series long base paths) $(call qtests,unit,unit)
TARGET_QTESTS = $(call qtests,qtest,targets aarch64)

.PHONY: help demo install check-prefix uninstall deb check-deb tree build check \
	lint export check-each check-topics check-lines check-upstream check-targets \
	check-mutants soak coverage fuzz bench pictures docs port rebase
.NOTPARALLEL:

help:
	@echo 'Reversible pvpanic for QEMU $(BASE).  In the order in which one needs them:'
	@echo
	@echo '  make demo             a Linux guest that panics and lives'
	@echo '  make install PREFIX=  a full-feature build, installed there'
	@echo '  make uninstall        with the same PREFIX=: what that put there, removed'
	@echo '  make deb              Debian'\''s own packages, with the series'
	@echo
	@echo '  make tree             build/$(BASE)/src: the base and a commit per patch'
	@echo '  make build            both builds, with all of QEMU'\''s tools and tests'
	@echo '  make check            lint, the qtests, the system tests'
	@echo '  make export           the tree'\''s commits to patches/$(BASE)'
	@echo '  make lint             the static checks of make check: a minute'
	@echo
	@echo '  make check-each       every patch builds and passes its tests'
	@echo '  make check-topics     so does the core alone, and each other topic on it'
	@echo '  make check SANITIZE=1 the qtests alone, under ASan, LSan and UBSan'
	@echo '  make check-lines      make check of each line, and migration between them'
	@echo '  make check-upstream   QEMU'\''s own qtests and unit tests, on both builds'
	@echo '  make check-targets    s390x, ppc64 and aarch64: they build, and tests there'
	@echo '  make check-mutants    the series, broken in one line, fails a named test'
	@echo '  make soak             what takes long: many VMs, many panics, variants'
	@echo '  make coverage         lines and branches of the series that tests reach'
	@echo '  make fuzz FUZZ_TIME=  fuzz devices and record, for that many seconds'
	@echo
	@echo '  make bench            patched against unpatched: docs/bench.md'
	@echo '  make pictures         docs/*.svg, where their sources have changed'
	@echo '  make docs             QEMU'\''s manual, with the series, as HTML'
	@echo '  make port TO= PATCH=  carry a commit of build/$(BASE)/src to another line'
	@echo '  make rebase ONTO=     begin to rebase the series to another release line'
	@echo
	@echo 'BASE=$(BASE)     the release line: one of $(LINES)'
	@echo 'TOPICS=all    what to install, package, check-each or check-topics: core, or'
	@echo '              names in patches/$(BASE)'
	@echo 'QEMU_SRC=     a QEMU tree or tarball, instead of Debian'\''s source package'
	@echo 'JOBS=$(JOBS)        parallel compile jobs'
	@echo 'What is missing is installed through apt; downloads and the compiler'
	@echo 'cache are kept in ~/.cache/reversible-pvpanic.'

tree:
	@scripts/setup/packages
	@scripts/series/tree

build: tree
	@scripts/build patched
	@scripts/build unpatched

demo: tree
	@scripts/build patched qemu-system-x86_64
	@scripts/setup/guest
	@/usr/bin/python3 -m scripts.demo

ifeq ($(SANITIZE),1)
check: tree
	@scripts/build sanitized qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/check/sanitized
else ifeq ($(SANITIZE),)
check: tree
	@scripts/setup/packages docs
	@scripts/build patched qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/build unpatched qemu-system-x86_64
	@scripts/setup/guest
	@scripts/setup/libvirt
	@scripts/check/all
else
$(error SANITIZE=$(SANITIZE) is not known; set it to 1, or not at all)
endif

soak: tree
	@scripts/build patched qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/build unpatched qemu-system-x86_64
	@scripts/setup/guest kernels
	@scripts/setup/libvirt
	@scripts/check/soak

lint: tree
	@scripts/check/all lint

check-each: tree
	@scripts/check/each

check-topics: tree
	@scripts/check/topics

check-lines:
	@+scripts/check/lines

check-targets: tree
	@scripts/build targets qemu-system-s390x qemu-system-ppc64 \
		qemu-system-aarch64 qemu-img $(TARGET_QTESTS)
	@scripts/build targets-unpatched qemu-system-s390x qemu-system-ppc64
	@scripts/check/targets

check-mutants: tree
	@scripts/build patched qemu-img $(QTESTS)
	@scripts/check/mutants

bench: tree
	@scripts/needs record guest-log
	@scripts/setup/packages bench
	@scripts/build patched qemu-system-x86_64 tests/qtest/pvpanic-guest-test
	@scripts/build unpatched qemu-system-x86_64
	@scripts/bench

pictures:
	@scripts/setup/packages pictures
	@/usr/bin/python3 -m scripts.pictures

coverage: tree
	@scripts/needs record dumps gdb guest-log
	@scripts/build coverage qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/build unpatched qemu-system-x86_64
	@scripts/setup/guest
	@scripts/setup/libvirt
	@scripts/check/coverage

fuzz: tree
	@scripts/needs tests
	@scripts/check/fuzz '$(FUZZ_TIME)'

check-upstream: build
	@scripts/check/upstream

docs: tree
	@scripts/setup/packages docs
	@scripts/build docs docs/docs.stamp
	@echo 'The manual: build/$(BASE)/docs/docs/manual/index.html; of this series:'
	@cd 'build/$(BASE)/docs/docs/manual' && \
		ls system/guest-panics.html $$(ls specs/pvpanic.html 2> /dev/null)

export:
	@scripts/series/export

port:
	@scripts/setup/packages
	@scripts/series/port '$(FROM)' '$(TO)'

rebase:
	@scripts/setup/packages
	@scripts/series/rebase '$(ONTO)'

install: check-prefix tree
	@scripts/package/install build

check-prefix:
	@scripts/package/install check

check-deb:
	@scripts/package/deb check

uninstall:
	@scripts/package/install remove

deb: check-deb tree
	@scripts/setup/packages deb
	@scripts/setup/guest
	@scripts/package/deb
