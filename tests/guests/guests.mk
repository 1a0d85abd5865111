# The test guests: www (unikernels for x86, arm64 and Xen) and a small Linux.
#
# Included by the top Makefile, which sets BUILD and Q; works on its own too:
#     make -f tests/guests/guests.mk BUILD=/tmp/build guests

BUILD ?= build
GUESTS_SOURCE := tests/guests
GUESTS_OUT := $(BUILD)/guests
GUESTS_X86_CC ?= gcc
GUESTS_ARM64_CC ?= aarch64-linux-gnu-gcc
GUESTS_ARM64_OBJCOPY ?= aarch64-linux-gnu-objcopy

guests_common := banner.c http.c lib.c main.c net.c netdev.c options.c tcp.c
guests_virtio := $(guests_common) virtio-mmio.c virtio-net.c virtio-talk.c
guests_xen := $(guests_common) xen.c xen-netfront.c xenstore.c
guests_x86 := $(guests_virtio) virtio-pci.c x86.c x86-interrupt.S x86-start.S
guests_arm64 := $(guests_virtio) arm64.c arm64-start.S fdt.c
guests_pv := $(guests_xen) xen-pv.c xen-pv-start.S xen-x86.c
guests_pvh := $(guests_xen) xen-hvm.c xen-pvh.c xen-x86.c x86-start.S
guests_xen_arm64 := $(guests_xen) xen-hvm.c xen-arm64.c arm64-start.S fdt.c

# loop distribution would turn memcpy() into a call of itself.
guests_cflags := -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wconversion \
	-ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-tree-loop-distribute-patterns -mgeneral-regs-only \
	-MMD -MP
guests_x86_cflags := $(guests_cflags) -m32 -march=i686 -fcf-protection=none
guests_pvh_cflags := $(guests_x86_cflags)
guests_pv_cflags := $(guests_cflags) -m64 -mno-red-zone -fcf-protection=none
guests_arm64_cflags := $(guests_cflags) -mstrict-align
# A cross compiler does not look where the headers are, which are the same for all.
guests_xen_arm64_cflags := $(guests_arm64_cflags) -mno-outline-atomics -DXEN_GUEST -idirafter /usr/include
guests_ldflags := -nostdlib -static -no-pie -Wl,--build-id=none

guests_x86_objects := $(patsubst %,$(GUESTS_OUT)/x86/%.o,$(basename $(guests_x86)))
guests_pv_objects := $(patsubst %,$(GUESTS_OUT)/pv/%.o,$(basename $(guests_pv)))
guests_pvh_objects := $(patsubst %,$(GUESTS_OUT)/pvh/%.o,$(basename $(guests_pvh)))
guests_xen_arm64_objects := $(patsubst %,$(GUESTS_OUT)/xen-arm64/%.o,$(basename $(guests_xen_arm64)))
guests_arm64_objects := $(patsubst %,$(GUESTS_OUT)/arm64/%.o,$(basename $(guests_arm64)))

.PHONY: guests guests-linux guests-linux-arm64
guests: $(GUESTS_OUT)/www.elf
ifneq ($(shell command -v $(GUESTS_ARM64_CC) 2>/dev/null),)
guests: $(GUESTS_OUT)/www-arm64.img
endif
# Xen's public headers are in libxen-dev.
ifneq ($(wildcard /usr/include/xen/xen.h),)
guests: $(GUESTS_OUT)/www-pv.elf $(GUESTS_OUT)/www-pvh.elf
ifneq ($(shell command -v $(GUESTS_ARM64_CC) 2>/dev/null),)
guests: $(GUESTS_OUT)/www-xen-arm64.img
endif
else
guests: guests-no-xen
endif
.PHONY: guests-no-xen
guests-no-xen:
	@echo "no guests for Xen: libxen-dev is not installed"
guests-linux: $(GUESTS_OUT)/linux/vmlinuz $(GUESTS_OUT)/linux/initrd
guests-linux-arm64: $(GUESTS_OUT)/linux-arm64/vmlinuz $(GUESTS_OUT)/linux-arm64/initrd

$(GUESTS_OUT)/x86 $(GUESTS_OUT)/pv $(GUESTS_OUT)/pvh $(GUESTS_OUT)/arm64 $(GUESTS_OUT)/xen-arm64 \
		$(GUESTS_OUT)/linux $(GUESTS_OUT)/linux-arm64:
	$(Q)mkdir -p $@

$(GUESTS_OUT)/x86/%.o: $(GUESTS_SOURCE)/www/%.c | $(GUESTS_OUT)/x86
	$(Q)$(GUESTS_X86_CC) $(guests_x86_cflags) -c -o $@ $<
$(GUESTS_OUT)/x86/%.o: $(GUESTS_SOURCE)/www/%.S | $(GUESTS_OUT)/x86
	$(Q)$(GUESTS_X86_CC) $(guests_x86_cflags) -c -o $@ $<
$(GUESTS_OUT)/www.elf: $(guests_x86_objects) $(GUESTS_SOURCE)/www/x86.ld
	$(Q)$(GUESTS_X86_CC) -m32 $(guests_ldflags) -Wl,-T,$(GUESTS_SOURCE)/www/x86.ld \
		-o $@ $(guests_x86_objects)

$(GUESTS_OUT)/pv/%.o: $(GUESTS_SOURCE)/www/%.c | $(GUESTS_OUT)/pv
	$(Q)$(GUESTS_X86_CC) $(guests_pv_cflags) -c -o $@ $<
$(GUESTS_OUT)/pv/%.o: $(GUESTS_SOURCE)/www/%.S | $(GUESTS_OUT)/pv
	$(Q)$(GUESTS_X86_CC) $(guests_pv_cflags) -c -o $@ $<
$(GUESTS_OUT)/www-pv.elf: $(guests_pv_objects) $(GUESTS_SOURCE)/www/xen-pv.ld
	$(Q)$(GUESTS_X86_CC) -m64 $(guests_ldflags) -Wl,-T,$(GUESTS_SOURCE)/www/xen-pv.ld \
		-Wl,--no-warn-rwx-segments -o $@ $(guests_pv_objects)

$(GUESTS_OUT)/pvh/%.o: $(GUESTS_SOURCE)/www/%.c | $(GUESTS_OUT)/pvh
	$(Q)$(GUESTS_X86_CC) $(guests_pvh_cflags) -c -o $@ $<
$(GUESTS_OUT)/pvh/%.o: $(GUESTS_SOURCE)/www/%.S | $(GUESTS_OUT)/pvh
	$(Q)$(GUESTS_X86_CC) $(guests_pvh_cflags) -c -o $@ $<
$(GUESTS_OUT)/www-pvh.elf: $(guests_pvh_objects) $(GUESTS_SOURCE)/www/x86.ld
	$(Q)$(GUESTS_X86_CC) -m32 $(guests_ldflags) -Wl,-T,$(GUESTS_SOURCE)/www/x86.ld \
		-o $@ $(guests_pvh_objects)

$(GUESTS_OUT)/arm64/%.o: $(GUESTS_SOURCE)/www/%.c | $(GUESTS_OUT)/arm64
	$(Q)$(GUESTS_ARM64_CC) $(guests_arm64_cflags) -c -o $@ $<
$(GUESTS_OUT)/arm64/%.o: $(GUESTS_SOURCE)/www/%.S | $(GUESTS_OUT)/arm64
	$(Q)$(GUESTS_ARM64_CC) $(guests_arm64_cflags) -c -o $@ $<
$(GUESTS_OUT)/arm64/www.elf: $(guests_arm64_objects) $(GUESTS_SOURCE)/www/arm64.ld
	$(Q)$(GUESTS_ARM64_CC) $(guests_ldflags) -Wl,-T,$(GUESTS_SOURCE)/www/arm64.ld \
		-o $@ $(guests_arm64_objects)
$(GUESTS_OUT)/www-arm64.img: $(GUESTS_OUT)/arm64/www.elf
	$(Q)$(GUESTS_ARM64_OBJCOPY) -O binary $< $@

$(GUESTS_OUT)/xen-arm64/%.o: $(GUESTS_SOURCE)/www/%.c | $(GUESTS_OUT)/xen-arm64
	$(Q)$(GUESTS_ARM64_CC) $(guests_xen_arm64_cflags) -c -o $@ $<
$(GUESTS_OUT)/xen-arm64/%.o: $(GUESTS_SOURCE)/www/%.S | $(GUESTS_OUT)/xen-arm64
	$(Q)$(GUESTS_ARM64_CC) $(guests_xen_arm64_cflags) -c -o $@ $<
$(GUESTS_OUT)/xen-arm64/www.elf: $(guests_xen_arm64_objects) $(GUESTS_SOURCE)/www/arm64.ld
	$(Q)$(GUESTS_ARM64_CC) $(guests_ldflags) -Wl,-T,$(GUESTS_SOURCE)/www/arm64.ld \
		-o $@ $(guests_xen_arm64_objects)
$(GUESTS_OUT)/www-xen-arm64.img: $(GUESTS_OUT)/xen-arm64/www.elf
	$(Q)$(GUESTS_ARM64_OBJCOPY) -O binary $< $@

# linux.sh is idempotent: it does again only what has changed.
$(GUESTS_OUT)/linux/vmlinuz $(GUESTS_OUT)/linux/initrd &: $(GUESTS_SOURCE)/linux.sh \
		$(GUESTS_SOURCE)/linux-init scripts/guest/jitsu-say | $(GUESTS_OUT)/linux
	$(Q)$(GUESTS_SOURCE)/linux.sh $(GUESTS_OUT)/linux
$(GUESTS_OUT)/linux-arm64/vmlinuz $(GUESTS_OUT)/linux-arm64/initrd &: $(GUESTS_SOURCE)/linux.sh \
		$(GUESTS_SOURCE)/linux-init scripts/guest/jitsu-say | $(GUESTS_OUT)/linux-arm64
	$(Q)$(GUESTS_SOURCE)/linux.sh $(GUESTS_OUT)/linux-arm64 arm64

-include $(guests_x86_objects:.o=.d) $(guests_arm64_objects:.o=.d)
-include $(guests_pv_objects:.o=.d) $(guests_pvh_objects:.o=.d) $(guests_xen_arm64_objects:.o=.d)
