# The test guests: www (x86 and arm64 unikernels) and a small Linux.
#
# Included by the top Makefile, which sets BUILD and Q; works on its own too:
#     make -f tests/guests/guests.mk BUILD=/tmp/build guests

BUILD ?= build
GUESTS := tests/guests
GUESTS_OUT := $(BUILD)/guests
GUESTS_X86_CC ?= gcc
GUESTS_ARM64_CC ?= aarch64-linux-gnu-gcc
GUESTS_ARM64_OBJCOPY ?= aarch64-linux-gnu-objcopy

guests_common := banner.c http.c lib.c main.c net.c netdev.c options.c tcp.c \
	virtio-mmio.c virtio-net.c
guests_x86 := $(guests_common) virtio-pci.c x86.c x86-interrupt.S x86-start.S
guests_arm64 := $(guests_common) arm64.c arm64-start.S

# loop distribution would turn memcpy() into a call of itself.
guests_cflags := -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wconversion \
	-ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-tree-loop-distribute-patterns -mgeneral-regs-only \
	-MMD -MP
guests_x86_cflags := $(guests_cflags) -m32 -march=i686 -fcf-protection=none
guests_arm64_cflags := $(guests_cflags) -mstrict-align
guests_ldflags := -nostdlib -static -no-pie -Wl,--build-id=none

guests_x86_objects := $(patsubst %,$(GUESTS_OUT)/x86/%.o,$(basename $(guests_x86)))
guests_arm64_objects := $(patsubst %,$(GUESTS_OUT)/arm64/%.o,$(basename $(guests_arm64)))

.PHONY: guests guests-linux
guests: $(GUESTS_OUT)/www.elf
ifneq ($(shell command -v $(GUESTS_ARM64_CC) 2>/dev/null),)
guests: $(GUESTS_OUT)/www-arm64.img
endif
guests-linux: $(GUESTS_OUT)/linux/vmlinuz $(GUESTS_OUT)/linux/initrd

$(GUESTS_OUT)/x86 $(GUESTS_OUT)/arm64 $(GUESTS_OUT)/linux:
	$(Q)mkdir -p $@

$(GUESTS_OUT)/x86/%.o: $(GUESTS)/www/%.c | $(GUESTS_OUT)/x86
	$(Q)$(GUESTS_X86_CC) $(guests_x86_cflags) -c -o $@ $<
$(GUESTS_OUT)/x86/%.o: $(GUESTS)/www/%.S | $(GUESTS_OUT)/x86
	$(Q)$(GUESTS_X86_CC) $(guests_x86_cflags) -c -o $@ $<
$(GUESTS_OUT)/www.elf: $(guests_x86_objects) $(GUESTS)/www/x86.ld
	$(Q)$(GUESTS_X86_CC) -m32 $(guests_ldflags) -Wl,-T,$(GUESTS)/www/x86.ld \
		-o $@ $(guests_x86_objects)

$(GUESTS_OUT)/arm64/%.o: $(GUESTS)/www/%.c | $(GUESTS_OUT)/arm64
	$(Q)$(GUESTS_ARM64_CC) $(guests_arm64_cflags) -c -o $@ $<
$(GUESTS_OUT)/arm64/%.o: $(GUESTS)/www/%.S | $(GUESTS_OUT)/arm64
	$(Q)$(GUESTS_ARM64_CC) $(guests_arm64_cflags) -c -o $@ $<
$(GUESTS_OUT)/arm64/www.elf: $(guests_arm64_objects) $(GUESTS)/www/arm64.ld
	$(Q)$(GUESTS_ARM64_CC) $(guests_ldflags) -Wl,-T,$(GUESTS)/www/arm64.ld \
		-o $@ $(guests_arm64_objects)
$(GUESTS_OUT)/www-arm64.img: $(GUESTS_OUT)/arm64/www.elf
	$(Q)$(GUESTS_ARM64_OBJCOPY) -O binary $< $@

# linux.sh is idempotent: it does again only what has changed.
$(GUESTS_OUT)/linux/vmlinuz $(GUESTS_OUT)/linux/initrd &: $(GUESTS)/linux.sh \
		$(GUESTS)/linux-init | $(GUESTS_OUT)/linux
	$(Q)$(GUESTS)/linux.sh $(GUESTS_OUT)/linux

-include $(guests_x86_objects:.o=.d) $(guests_arm64_objects:.o=.d)
