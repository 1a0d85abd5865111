# jitsu: build, tests, demo and benchmarks.  `make help` lists the targets.

BUILD ?= build

# `make CROSS=aarch64-linux-gnu` builds for that machine, with the libraries of `make deps-arm64`, into $(BUILD)-arm64.
CROSS ?=
ARM64 := aarch64-linux-gnu
ifneq ($(CROSS),)
ifneq ($(CROSS),$(ARM64))
$(error CROSS=$(CROSS): only $(ARM64) is known)
endif
override BUILD := $(patsubst %-arm64,%,$(BUILD))-arm64
SYSROOT := $(BUILD)/root
CC := $(CROSS)-gcc --sysroot=$(SYSROOT)
AR := $(CROSS)-ar
endif

Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-5s %s\n' $(1) $(2))

CC ?= gcc
CLANG ?= clang
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wwrite-strings
HARDEN := -fstack-protector-strong -fPIE
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(HARDEN) $(CPPFLAGS) $(CFLAGS) $(SAN) -I. -MMD -MP
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS) $(SAN)

# ---- sources: one list per folder ----

BASE := addr addr_list buf child clock codec err ipc json json_value json_write log metric msg nearest proc program ring_file sandbox slots utf8 xl_text
CONFIG := check check_machine check_pools check_service claims complete load manual option pool print programs read record registry registry_db \
	schema unique value
DNS := answer answer_service answer_sets answer_walk canonical changes changing cookie count forward key load main name notify nsec peers queue rate serve serve_tables sign signatures special tcp \
	transfer tsig udp view waiting wire worker zone zone_build zone_file zone_rrset zone_static zone_touch zone_walk
SYNPROXY := agenda claim flows frame guest_words guests handover handover_packets handover_ports handover_release hold hold_open hold_store hold_take learn learners \
	lookup main ports probe taps wards
CONTROL := exposition http main peer protocol requests server session watchers
LAUNCHER := addresses adopt bpf_load budget describe dns_side dnssec dnssec_fsm dnssec_key dnssec_side \
	dnssec_store edits events fdb filter flows gather guest heartbeat hold_bridges hold_events hold_filter \
	hold_place hold_tap holds hooks_side hypervisor hypervisor_found hypervisor_requests hypervisor_results identity idle image instances journal learned learning \
	links main managers metrics mutes netlink note operators operators_dns operators_vms orders pools port \
	prober quiesce ready reaper registrar registrar_edit registrar_facts reload rows run_state saves \
	secondaries service service_fsm service_start service_stop start sweeps synproxy_side tap trace use wake wake_dns wake_packet \
	wake_stats xdp xdp_side zone_files zones
BACKENDS := backend guests listener process save_file workers
HOOKS := event_text jobs webhook
LIBXL := libxl libxl_conf libxl_console libxl_ctx libxl_domains libxl_events libxl_file libxl_notes libxl_save xenstore_guest
LIBVIRT := console domain_xml kvm libvirt libvirt_conf libvirt_events orphans stale watches xml
JITSUD := jitsud check_zones kept leftovers listeners notify programs pulse run_dir supervisor supervisor_peers supervisor_processes \
	supervisor_wants users
JITSUCTL := client complete dnssec doctor doctor_port doctor_services doctor_show edit event jitsuctl listing live old_jitsu options record \
	render run screen subcommands subcommands_edit table text top usage waterfall

# libraries of each
BASE_LIBS := -levent_core -levent_pthreads -lseccomp -lcap-ng
CONTROL_LIBS := -levent_extra
DNS_LIBS := -lldns -lcrypto
LAUNCHER_LIBS := -lmnl -lbpf -lcrypto -lsqlite3
HOOKS_LIBS := -lcurl
LIBVIRT_LIBS := -lvirt -lvirt-qemu -lpthread

# What is for Xen is built where its library is (package libxen-dev).
XENSTORE := $(wildcard $(addprefix $(SYSROOT)/usr/lib/$(shell $(CC) -print-multiarch)/,libxenstore.a libxentoolcore.a))
ifeq ($(XENSTORE)$(MAKELEVEL),0)
$(info   without jitsu-libxl and jitsu-vif: the package libxen-dev is not installed)
endif
LIBXL_LIBS := -lxlutil -lxenlight -lxentoollog -lxenstore -lpthread
BACKEND_PROGRAMS := jitsu-libvirt $(if $(XENSTORE),jitsu-libxl jitsu-vif)

# ---- tests: folder/name of each cmocka program; the libraries it needs follow from its folder ----

TESTS := base/test_addr base/test_codec base/test_program base/test_sandbox base/test_ipc base/test_json base/test_slots
TESTS += dns/test_queue dns/test_view dns/test_workers
TESTS += dns/test_wake_dns dns/test_amplify dns/test_templates
TESTS += dns/test_answer dns/test_cookie dns/test_nsd dns/test_rate dns/test_static dns/test_zone_file dns/test_process dns/test_serve dns/test_tcp dns/test_waiting dns/test_wire dns/test_zone dns/test_signed dns/test_delv
TESTS += dns/test_tsig dns/test_notify dns/test_transfer dns/test_special dns/test_secondaries launcher/test_secondaries
TESTS += launcher/test_saves launcher/test_xen launcher/test_budget launcher/test_idle launcher/test_records launcher/test_service_fsm
TESTS += launcher/test_filter launcher/test_identity launcher/test_image launcher/test_netlink launcher/test_port launcher/test_reaper
TESTS += launcher/test_dns_xdp launcher/test_hold_tap launcher/test_managers
TESTS += launcher/test_dnssec launcher/test_dnssec_side cmd/test_dnssec
TESTS += launcher/test_launcher launcher/test_zones launcher/test_holds launcher/test_sweeps launcher/test_mutes launcher/test_wake_dns
TESTS += backends/test_backend backends/test_console backends/test_contract backends/test_domain_xml backends/test_stale
TESTS += backends/test_libvirt_events backends/test_workers base/test_ring_file
TESTS += $(if $(XENSTORE),backends/test_libxl_conf backends/test_libxl_domains backends/test_libxl_file backends/test_xenstore_guest)
TESTS += synproxy/test_frame synproxy/test_hold synproxy/test_probe synproxy/test_probe_netns
TESTS += synproxy/test_agenda base/test_bucket synproxy/test_claim synproxy/test_handover synproxy/test_lookup synproxy/test_process
TESTS += base/test_xl_text base/test_nearest base/test_utf8 control/test_process control/test_protocol control/test_requests control/test_server
TESTS += config/test_claims config/test_registry config/test_load config/test_manual config/test_memory config/test_value
TESTS += launcher/test_heartbeat
TESTS += cmd/test_edit launcher/test_edits config/test_pool launcher/test_pools launcher/test_instances
TESTS += launcher/test_learning launcher/test_guest synproxy/test_guest_words synproxy/test_guests
TESTS += cmd/test_old_jitsu cmd/test_top launcher/test_events
TESTS += control/test_exposition control/test_http launcher/test_metrics launcher/test_hooks hooks/test_jobs hooks/test_webhook
TESTS += base/test_log cmd/test_notify cmd/test_pulse cmd/test_watchdog cmd/test_complete cmd/test_doctor
TESTS += synproxy/test_learn launcher/test_learned
TESTS += cmd/test_kept cmd/test_leftovers cmd/test_listeners cmd/test_run_dir cmd/test_supervisor
TESTS += cmd/test_listing cmd/test_render cmd/test_text cmd/test_waterfall
ifneq ($(XENSTORE),)
TESTS += backends/test_vif
endif
FUZZERS := fuzz_config fuzz_control fuzz_dns_query fuzz_dns_tcp fuzz_zone fuzz_frame fuzz_guest fuzz_hold fuzz_ipc fuzz_probe fuzz_tsig

objs = $(addprefix $(BUILD)/$(1)/,$(addsuffix .o,$(2)))
lib = $(BUILD)/lib$(1).a

all: $(addprefix $(BUILD)/,jitsud jitsuctl jitsu-hooks $(BACKEND_PROGRAMS))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# BPF programs are put as they are into the object of the source that loads them.
$(BUILD)/launcher/%.bpf.o: launcher/%.bpf.c launcher/%.h launcher/bpf_packets.h
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) -target bpf $(BPF_FLAGS) -O2 -g $(WARN) -Wno-missing-prototypes -I. -I$(SYSROOT)/usr/include/$(shell $(CC) -print-multiarch) -c -o $@ $<
$(BUILD)/launcher/port.o: $(BUILD)/launcher/activity.bpf.o
$(BUILD)/launcher/port.o: ALL_CFLAGS += -DACTIVITY_BPF='"$(BUILD)/launcher/activity.bpf.o"'
$(BUILD)/launcher/hold_filter.o: $(BUILD)/launcher/hold_filter.bpf.o
$(BUILD)/launcher/hold_filter.o: ALL_CFLAGS += -DHOLD_FILTER_BPF='"$(BUILD)/launcher/hold_filter.bpf.o"'

$(BUILD)/launcher/xdp.o: $(BUILD)/launcher/dns_xdp.bpf.o
$(BUILD)/launcher/xdp.o: ALL_CFLAGS += -DDNS_XDP_BPF='"$(BUILD)/launcher/dns_xdp.bpf.o"'
$(BUILD)/launcher/dns_xdp.bpf.o: BPF_FLAGS := -mcpu=v3 # compare and swap

# A folder's objects, all but main, as an archive: programs and tests take from it what they use.
define library
$(BUILD)/lib$(1).a: $(call objs,$(1),$(2))
	$(call say,AR,$$@)
	$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(eval $(call library,base,$(BASE)))
$(eval $(call library,config,$(CONFIG)))
$(eval $(call library,dns,$(DNS)))
$(eval $(call library,synproxy,$(SYNPROXY)))
$(eval $(call library,control,$(CONTROL)))
$(eval $(call library,hooks,$(HOOKS)))
$(eval $(call library,cmd,$(filter-out jitsud jitsuctl,$(JITSUD) $(JITSUCTL))))
$(eval $(call library,launcher,$(LAUNCHER)))
# (fake is for tests; programs take nothing of it)
$(eval $(call library,backends,$(BACKENDS) $(LIBVIRT) $(if $(XENSTORE),$(LIBXL) vif vif_link) fake))

$(BUILD)/jitsud: $(call objs,cmd,$(JITSUD)) $(foreach l,launcher dns synproxy control config base,$(call lib,$(l)))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(DNS_LIBS) $(LAUNCHER_LIBS) $(CONTROL_LIBS) $(BASE_LIBS)

$(BUILD)/jitsuctl: $(call objs,cmd,$(JITSUCTL)) $(call lib,backends) $(call lib,config) $(call lib,base)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BASE_LIBS)

$(BUILD)/jitsu-libvirt: $(call objs,backends,libvirt_main) $(foreach l,backends base,$(call lib,$(l)))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBVIRT_LIBS) $(BASE_LIBS)

$(BUILD)/jitsu-libxl: $(call objs,backends,libxl_main) $(foreach l,backends base,$(call lib,$(l)))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBXL_LIBS) $(BASE_LIBS)

$(BUILD)/jitsu-hooks: $(call objs,hooks,main) $(foreach l,hooks base,$(call lib,$(l)))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(HOOKS_LIBS) $(BASE_LIBS)

# Static, for it is run twice for each VM.
$(BUILD)/jitsu-vif: $(call objs,backends,vif_main) $(call lib,backends) $(call lib,base) $(XENSTORE)
	$(call say,LD,$@)
	$(Q)$(CC) $(if $(SAN),$(ALL_LDFLAGS),$(filter-out -pie,$(ALL_LDFLAGS)) -static-pie) -o $@ $^

# ---- unit tests ----

# Which archives the tests of a folder link, beyond config and base.
TEST_LIBS_dns := dns
TEST_LIBS_synproxy := synproxy
TEST_LIBS_control := control
TEST_LIBS_hooks := hooks
TEST_LIBS_launcher := launcher dns
TEST_LIBS_backends := backends
TEST_PARTS_backends/test_libxl_domains := backends/xenstore
TEST_PARTS_backends/test_xenstore_guest := backends/xenstore
TEST_PARTS_backends/test_contract := $(addprefix backends/contract_,process cases guests libvirt xen)
TEST_LIBS_cmd := cmd backends synproxy

test_bin = $(BUILD)/tests/$(1)
TEST_BINS := $(foreach t,$(TESTS),$(call test_bin,$(t)))

define test_program
$(BUILD)/tests/$(1): $(BUILD)/tests/$(1).o $(TEST_PARTS_$(1):%=$(BUILD)/tests/%.o) $(foreach l,$(TEST_LIBS_$(patsubst %/,%,$(dir $(1)))) config base,$(call lib,$(l)))
	$$(call say,LD,$$@)
	$(Q)$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ -lcmocka $(DNS_LIBS) $(LAUNCHER_LIBS) $(LIBVIRT_LIBS) $$(if $$(findstring libxl,$$@),$(LIBXL_LIBS)) $(CONTROL_LIBS) $(HOOKS_LIBS) $(BASE_LIBS)
endef
$(foreach t,$(TESTS),$(eval $(call test_program,$(t))))
$(BUILD)/tests/control/test_process: | $(BUILD)/jitsuctl
$(BUILD)/tests/backends/test_vif: $(XENSTORE)

unit: $(TEST_BINS) $(BUILD)/tests/list
	$(Q)for t in $(TEST_BINS); do $$t || exit 1; done

# Those that run under qemu-aarch64-static; tests/arm64.txt tells why the others do not.
ARM64_TESTS := $(filter-out $(shell sed 's/#.*//; s/\t.*//' tests/arm64.txt),$(TESTS))

$(BUILD)/tests/list-arm64: Makefile tests/arm64.txt
	@mkdir -p $(@D)
	$(Q)printf '%s\n' $(ARM64_TESTS) > $@

# Without a compiler, or where the libraries cannot be had, check.sh and matrix.sh tell so.
IF_ARM64 = $(Q)! { command -v $(ARM64)-gcc >/dev/null && scripts/sysroot.sh $(BUILD)-arm64/root arm64; } || \
	$(MAKE) --no-print-directory CROSS=$(ARM64)
arm64-for-check:
	$(IF_ARM64) arm64-for-check-now
arm64-for-check-now: all $(foreach t,$(ARM64_TESTS),$(call test_bin,$(t))) $(BUILD)/tests/list-arm64

# What system tests send and see on the wire.
PACKETS := $(BUILD)/tests/system/packets
$(PACKETS): $(BUILD)/tests/system/packets.o $(call lib,base)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BASE_LIBS)

$(BUILD)/tests/list: Makefile
	@mkdir -p $(@D)
	$(Q)printf '%s\n' $(TESTS) > $@

# ---- everything a person types ----

include tests/guests/guests.mk

# What can be built only after the packages are there: each goal installs them first, and then
# calls make again, with a job for each CPU where nobody has said how many.
JOBS = $(if $(findstring j,$(filter-out --%,$(MAKEFLAGS))),,-j$(shell nproc))
AFTER_DEPS = $(Q)scripts/deps.sh --missing && $(MAKE) --no-print-directory $(JOBS)

deps:
	$(Q)scripts/deps.sh

deps-arm64:
	$(Q)scripts/deps.sh --missing
	$(Q)scripts/sysroot.sh $(patsubst %-arm64,%,$(BUILD))-arm64/root arm64

demo:
	$(AFTER_DEPS) demo-now
demo-now: all guests guests-linux
	$(Q)BUILD=$(BUILD) scripts/demo.sh

check:
	$(AFTER_DEPS) check-now
check-now: all $(TEST_BINS) $(BUILD)/tests/list $(PACKETS) guests guests-linux arm64-for-check
	$(Q)scripts/check.sh $(BUILD)

check-long:
	$(AFTER_DEPS) check-long-now
check-long-now: all $(TEST_BINS) $(BUILD)/tests/list $(PACKETS) guests guests-linux arm64-for-check $(addprefix $(BUILD)/fuzz/,$(FUZZERS))
	$(Q)LONG=1 FUZZERS="$(FUZZERS)" scripts/check.sh $(BUILD) long

# What needs a Xen, in one that is emulated.
check-xen:
	$(AFTER_DEPS) check-xen-now
check-xen-now: all $(PACKETS) $(BUILD)/tests/backends/test_contract guests $(if $(LONG),guests-linux)
	$(Q)tests/xen/check.sh $(BUILD) $(LONG)

# The same for arm64, on an emulated machine of that architecture.
check-arm64-xen:
	$(AFTER_DEPS) check-arm64-xen-now
check-arm64-xen-now: guests-linux deps-arm64
	$(Q)$(MAKE) --no-print-directory CROSS=$(ARM64) all
	$(Q)ARCH=arm64 tests/xen/check.sh $(BUILD)

# The tests under AddressSanitizer and UndefinedBehaviorSanitizer.
ASAN := BUILD=$(BUILD)-asan SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -DJITSU_SANITIZED" HARDEN=-fPIE
check-asan:
	$(AFTER_DEPS) $(ASAN) check-asan-now
check-asan-now: all $(TEST_BINS) $(BUILD)/tests/list $(PACKETS) guests guests-linux
	$(Q)SANITIZED=1 scripts/check.sh $(BUILD)

# The tests with threads under ThreadSanitizer, which cannot do with addresses that are too random.
TSAN_TESTS := dns/test_queue dns/test_rate dns/test_view dns/test_workers
TSAN := BUILD=$(BUILD)-tsan SAN="-fsanitize=thread -DJITSU_SANITIZED" HARDEN=-fPIE
check-tsan:
	$(AFTER_DEPS) $(TSAN) check-tsan-now
check-tsan-now: $(foreach t,$(TSAN_TESTS),$(call test_bin,$(t)))
	$(Q)for t in $^; do TSAN_OPTIONS=halt_on_error=1 setarch -R $$t || exit 1; done

BENCH_TOOLS := discard dns hold summon synflood $(if $(XENSTORE),xen)
bench:
	$(AFTER_DEPS) bench-now
bench-now: all guests guests-linux $(addprefix $(BUILD)/tests/bench/,$(BENCH_TOOLS))
	$(Q)BUILD=$(BUILD) scripts/bench.sh $(BENCH)

# Every kind of hypervisor, guest, hold and stop: IMAGE=FILE CMDLINE='...' adds an image of yours.
matrix:
	$(AFTER_DEPS) matrix-now
matrix-now: all guests guests-linux
	-$(Q)$(MAKE) --no-print-directory guests-linux-arm64
	$(IF_ARM64) all
	$(Q)BUILD=$(BUILD) scripts/matrix.sh

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(call objs,tests/bench,page capture) $(call lib,base)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BENCH_LIBS) $(DNS_LIBS) $(BASE_LIBS)
$(BUILD)/tests/bench/xen: BENCH_LIBS := -lxenlight -lxentoollog
$(BUILD)/tests/bench/dns: $(call objs,tests/bench,dns_server dns_load dns_compare)

lint:
	$(Q)scripts/lint.sh

# ---- fuzzing: clang's libFuzzer over the same sources ----

FUZZ_BINS := $(addprefix $(BUILD)/fuzz/,$(FUZZERS))
FUZZ_C := $(addprefix base/,$(addsuffix .c,$(BASE))) $(addprefix config/,$(addsuffix .c,$(CONFIG))) \
	$(addprefix dns/,$(addsuffix .c,$(DNS))) $(addprefix control/,$(addsuffix .c,$(CONTROL))) \
	$(addprefix synproxy/,$(addsuffix .c,$(SYNPROXY)))
FUZZ_O := $(addprefix $(BUILD)/fuzz/,$(FUZZ_C:.c=.o))
FUZZ_FLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -DJITSU_SANITIZED

$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZC,$<)
	$(Q)$(CLANG) -std=gnu11 -D_GNU_SOURCE -O1 -g $(FUZZ_FLAGS) -I. -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/libfuzzed.a: $(FUZZ_O)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(FUZZ_BINS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/%.o $(BUILD)/fuzz/libfuzzed.a
	$(call say,LD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(DNS_LIBS) -lcrypto $(CONTROL_LIBS) $(BASE_LIBS)

SECONDS ?= 60
fuzz:
	$(AFTER_DEPS) fuzz-now
fuzz-now: $(FUZZ_BINS)
	$(Q)scripts/fuzz.sh $(BUILD) $(SECONDS) $(FUZZERS)

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	install $(addprefix $(BUILD)/,jitsud jitsu-hooks $(BACKEND_PROGRAMS)) $(DESTDIR)$(PREFIX)/sbin
	install $(BUILD)/jitsuctl $(DESTDIR)$(PREFIX)/bin
	install -m 644 man/jitsud.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -d $(DESTDIR)$(PREFIX)/share/jitsu
	install -m 644 docs/grafana-dashboard.json docs/guest-messages.md $(DESTDIR)$(PREFIX)/share/jitsu
	install scripts/guest/jitsu-say $(DESTDIR)$(PREFIX)/share/jitsu
	install -m 644 man/jitsud.8 man/jitsuctl.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -d $(DESTDIR)$(SYSCONFDIR)/jitsu $(DESTDIR)$(UNITDIR) $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	install -m 644 etc/jitsud.json $(DESTDIR)$(SYSCONFDIR)/jitsu/jitsud.json.example
	sed 's|@sbindir@|$(PREFIX)/sbin|' etc/jitsud.service > $(DESTDIR)$(UNITDIR)/jitsud.service
	chmod 644 $(DESTDIR)$(UNITDIR)/jitsud.service
	install -m 644 completions/jitsuctl.bash $(DESTDIR)$(BASHDIR)/jitsuctl
	install -m 644 completions/jitsuctl.zsh $(DESTDIR)$(ZSHDIR)/_jitsuctl

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-arm64

help:
	@echo 'make            build $(BUILD)/jitsud and $(BUILD)/jitsuctl'
	@echo 'make demo       watch sleeping VMs answer curl, from nothing to clean-up (root)'
	@echo 'make check      every test (root for the system tests)'
	@echo 'make check-arm64-xen  jitsud for arm64 on a Xen for arm64, both emulated'
	@echo 'make check-xen  those in a nested Xen alone (LONG=1: with PVH guests, the contract, the full counts)'
	@echo 'make check-long the full counts, and the fuzzers; check-asan, check-tsan: under sanitizers'
	@echo 'make bench [BENCH=hold]     measure, and write $(BUILD)/bench.json'
	@echo 'make matrix [IMAGE=FILE]    every kind of hypervisor, guest and stop: $(BUILD)/matrix.md'
	@echo 'make fuzz [SECONDS=60]      every fuzzer in turn'
	@echo 'make lint       clang-tidy, cppcheck, include directions'
	@echo 'make deps       install the Debian packages, make the users'
	@echo 'make CROSS=aarch64-linux-gnu  build for arm64, in $(BUILD)-arm64, after make deps-arm64'
	@echo 'make install    into PREFIX=/usr/local; with the unit and completions'

-include $(shell find $(BUILD) \( -name root -o -name 'xen*' \) -prune -o -name '*.d' -type f -print 2>/dev/null)

.PHONY: all unit deps deps-arm64 arm64-for-check arm64-for-check-now demo demo-now check check-now check-long check-long-now check-xen check-xen-now check-arm64-xen \
	check-arm64-xen-now check-asan check-asan-now check-tsan check-tsan-now bench \
	bench-now matrix matrix-now lint fuzz fuzz-now install clean help
.SECONDARY:
