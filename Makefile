# The one entry point.  `make` says what there is.

BASE ?= 10.0
JOBS ?= $(shell nproc)
QEMU_SRC ?=
PREFIX ?=
SANITIZE ?=
FUZZ_TIME ?= 60
ONTO ?=
export BASE JOBS QEMU_SRC PREFIX

# The qtests that `make check` runs
QTESTS = $(shell sed -n 's,^[a-z]* ,tests/qtest/,p' scripts/qtests)

# Those that `make check-targets` runs, on each target
TARGET_QTESTS = tests/qtest/guest-panic-test tests/qtest/pvpanic-pci-test \
	 tests/qtest/qmp-test tests/qtest/qmp-cmd-test \
	 tests/qtest/device-introspect-test

.PHONY: help demo check check-upstream check-each check-targets check-mutants soak \
	coverage bench fuzz pictures docs export rebase install check-prefix uninstall \
	deb tree build
.NOTPARALLEL:

help:
	@echo 'Reversible pvpanic for QEMU $(BASE).  What make can do:'
	@echo
	@echo '  make demo             a Linux guest that panics and lives'
	@echo '  make check            lint, the qtests, the system tests'
	@echo '  make check SANITIZE=1 the qtests alone, under ASan, LSan and UBSan'
	@echo '  make check-upstream   QEMU'\''s own qtests and unit tests, on both builds'
	@echo '  make check-each       every patch builds and passes its tests'
	@echo '  make check-targets    s390x, ppc64 and aarch64: they build, and tests there'
	@echo '  make check-mutants    the series, broken in one line, fails a named test'
	@echo '  make soak             what takes long: many VMs, many panics, variants'
	@echo '  make bench            patched against unpatched: docs/bench.md'
	@echo '  make pictures         docs/*.svg, where their sources have changed'
	@echo '  make coverage         lines and branches of the series that tests reach'
	@echo '  make fuzz FUZZ_TIME=  fuzz devices and record, for that many seconds'
	@echo '  make docs             QEMU'\''s manual, with the series, as HTML'
	@echo '  make tree             build/$(BASE)/src: the base and a commit per patch'
	@echo '  make build            both builds, with all of QEMU'\''s tools and tests'
	@echo '  make export           the tree'\''s commits to patches/$(BASE)'
	@echo '  make rebase ONTO=     begin to rebase the series, to 10.2 for example'
	@echo '  make install PREFIX=  a full-feature build, installed there'
	@echo '  make uninstall        with the same PREFIX=: what that put there, removed'
	@echo '  make deb              Debian'\''s own packages, with the series'
	@echo
	@echo 'Variables: BASE=10.0 the release line; QEMU_SRC= a QEMU tree or tarball'
	@echo 'to use instead of Debian'\''s source package; JOBS= parallel compile jobs.'
	@echo 'What is missing is installed through apt, downloads and the compiler'
	@echo 'cache are kept in ~/.cache/reversible-pvpanic.'

tree:
	@scripts/setup
	@scripts/tree

build: tree
	@scripts/build patched
	@scripts/build unpatched

demo: tree
	@scripts/build patched qemu-system-x86_64
	@scripts/guest
	@/usr/bin/python3 scripts/demo.py

ifeq ($(SANITIZE),1)
check: tree
	@scripts/build sanitized qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/check-sanitized
else ifeq ($(SANITIZE),)
check: tree
	@scripts/setup docs
	@scripts/build patched qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/build unpatched qemu-system-x86_64
	@scripts/guest
	@scripts/libvirt
	@scripts/check
else
$(error SANITIZE=$(SANITIZE) is not known; set it to 1, or not at all)
endif

soak: tree
	@scripts/build patched qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/build unpatched qemu-system-x86_64
	@scripts/guest
	@scripts/libvirt
	@scripts/soak

check-each: tree
	@scripts/check-each

check-targets: tree
	@scripts/build targets qemu-system-s390x qemu-system-ppc64 \
		qemu-system-aarch64 qemu-img $(TARGET_QTESTS)
	@scripts/build targets-unpatched qemu-system-s390x qemu-system-ppc64
	@scripts/check-targets

check-mutants: tree
	@scripts/build patched qemu-img $(QTESTS)
	@scripts/check-mutants

bench: tree
	@scripts/setup bench
	@scripts/build patched qemu-system-x86_64 tests/qtest/pvpanic-guest-test
	@scripts/build unpatched qemu-system-x86_64
	@scripts/bench

pictures: tree
	@scripts/setup pictures
	@scripts/build patched qemu-system-x86_64
	@scripts/guest
	@/usr/bin/python3 scripts/pictures.py

coverage: tree
	@scripts/build coverage qemu-system-x86_64 qemu-img $(QTESTS)
	@scripts/build unpatched qemu-system-x86_64
	@scripts/guest
	@scripts/libvirt
	@scripts/coverage

fuzz: tree
	@scripts/fuzz '$(FUZZ_TIME)'

check-upstream: build
	@scripts/check-upstream

docs: tree
	@scripts/setup docs
	@scripts/build docs docs/docs.stamp
	@echo 'The manual: build/$(BASE)/docs/docs/manual/index.html'
	@echo 'Of this series: system/guest-panics.html and specs/pvpanic.html there'

export:
	@scripts/export

rebase:
	@scripts/setup
	@scripts/rebase '$(ONTO)'

install: check-prefix tree
	@scripts/install build

check-prefix:
	@scripts/install check

uninstall:
	@scripts/install remove

deb: tree
	@scripts/setup deb
	@scripts/guest
	@scripts/deb
