/* QEMU's arm64 board, "virt": virtio-mmio slots, GICv2 or GICv3, PL011, PL031
 * and PL061, all of them where QEMU has always put them.
 *
 * Interrupts stay masked for good.  One that is pending is all that wfi needs
 * to return; it stops being pending when the device lowers its line, so none
 * is ever taken or acknowledged at the interrupt controller.
 *
 * Power: the board's button is a pin of the PL061, pressed for a tenth of a
 * second.  The chip latches the edge, so polling cannot miss it.  The way off
 * is PSCI, and there is no other way to die: platform_crash() is the same. */
#include "fdt.h"
#include "lib.h"
#include "platform.h"
#include "virtio.h"

enum {
    GICD_CONTROL = 0x000, GICD_GROUP = 0x080, GICD_ENABLE = 0x100,
    GICD_PRIORITY = 0x400, GICD_TARGETS = 0x800, GICD_ROUTE = 0x6000,
    GICC_CONTROL = 0x0, GICC_PRIORITY_MASK = 0x4,
    GICR_WAKER = 0x14, GICR_PRIVATE = 0x10000,  /* page of private interrupts */

    IRQ_TIMER = 27,             /* the virtual timer */
    IRQ_MMIO = 48,              /* of slot 0 */
    MMIO_SLOTS = 32, MMIO_SLOT_SIZE = 512,

    GPIO_EVENT = 0x40c, GPIO_RAW_STATUS = 0x414, GPIO_CLEAR = 0x41c,
    GPIO_POWER_BUTTON = 1 << 3,

    SLEEP_MAX = 200000,         /* microseconds */
};

static const uintptr_t distributor = 0x08000000, cpu_interface = 0x08010000;
static const uintptr_t redistributor = 0x080a0000;
static const uintptr_t uart = 0x09000000, rtc = 0x09010000, gpio = 0x09030000;
static const uintptr_t mmio_slots = 0x0a000000;

static const char *cmdline = "";
static uint32_t device_tree_seed;
static uint64_t started;        /* ticks */

void arm64_main(const uint8_t *device_tree) __attribute__((noreturn));

static uint32_t get(uintptr_t base, unsigned offset)
{
    return *(volatile uint32_t *)(base + offset);
}

static void set(uintptr_t base, unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)(base + offset) = value;
}

static void set8(uintptr_t base, unsigned offset, uint8_t value)
{
    *(volatile uint8_t *)(base + offset) = value;
}

#define READ_SYSTEM(name, value) __asm__ volatile("mrs %0, " name : "=r"(value))
#define WRITE_SYSTEM(name, value) \
    __asm__ volatile("msr " name ", %0" : : "r"((uint64_t)(value)) : "memory")

/* --- time --- */

static uint64_t ticks_now(void)
{
    uint64_t ticks;

    __asm__ volatile("isb" : : : "memory");
    READ_SYSTEM("cntvct_el0", ticks);
    return ticks;
}

static uint64_t tick_rate(void)
{
    uint64_t rate;

    READ_SYSTEM("cntfrq_el0", rate);
    return rate;
}

uint64_t platform_now(void)
{
    return (ticks_now() - started) * 1000000 / tick_rate();
}

void platform_idle(uint64_t until)
{
    uint64_t now = platform_now();

    netdev_interrupt();         /* of frames that are dealt with already */
    if (until <= now || netdev_pending())
        return;
    if (until - now > SLEEP_MAX)
        until = now + SLEEP_MAX;
    WRITE_SYSTEM("cntv_cval_el0", ticks_now() + (until - now) * tick_rate() / 1000000);
    WRITE_SYSTEM("cntv_ctl_el0", 1);
    __asm__ volatile("isb; wfi" : : : "memory");
    WRITE_SYSTEM("cntv_ctl_el0", 0);
}

/* --- interrupts --- */

static void gic_enable(uintptr_t base, unsigned irq)
{
    set8(base, GICD_PRIORITY + irq, 0x80);
    set(base, GICD_ENABLE + irq / 32 * 4, 1u << irq % 32);
}

static void gic2_start(unsigned nic)
{
    set8(distributor, GICD_TARGETS + nic, 1);
    gic_enable(distributor, IRQ_TIMER);
    gic_enable(distributor, nic);
    set(distributor, GICD_CONTROL, 1);
    set(cpu_interface, GICC_PRIORITY_MASK, 0xff);
    set(cpu_interface, GICC_CONTROL, 1);
}

static void gic3_start(unsigned nic)
{
    uintptr_t private = redistributor + GICR_PRIVATE;

    WRITE_SYSTEM("S3_0_C12_C12_5", 7);          /* ICC_SRE_EL1 */
    __asm__ volatile("isb");
    WRITE_SYSTEM("S3_0_C4_C6_0", 0xff);         /* ICC_PMR_EL1 */
    WRITE_SYSTEM("S3_0_C12_C12_7", 1);          /* ICC_IGRPEN1_EL1 */
    set(redistributor, GICR_WAKER, 0);
    set(private, GICD_GROUP, UINT32_MAX);
    gic_enable(private, IRQ_TIMER);
    set(distributor, GICD_CONTROL, 0x12);       /* affinity routing, group 1 */
    set(distributor, GICD_GROUP + nic / 32 * 4, UINT32_MAX);
    set(distributor, GICD_ROUTE + nic * 8, 0);  /* to processor 0 */
    set(distributor, GICD_ROUTE + nic * 8 + 4, 0);
    gic_enable(distributor, nic);
}

/* Which one it is, the processor tells: it has a GICv3's registers or not. */
static void interrupts_start(unsigned nic)
{
    uint64_t features;

    READ_SYSTEM("id_aa64pfr0_el1", features);
    if (features >> 24 & 15)
        gic3_start(nic);
    else
        gic2_start(nic);
}

bool platform_say(const char *words)
{
    return virtio_talk(words);
}

uint64_t platform_say_wake(void)
{
    return virtio_talk_wake();
}

bool platform_nic(void)
{
    for (unsigned slot = 0; slot < MMIO_SLOTS; slot++) {
        const struct virtio_transport *card =
            virtio_mmio_device(mmio_slots + slot * MMIO_SLOT_SIZE, VIRTIO_ID_NET);

        if (!card)
            continue;
        virtio_talk_find(mmio_slots, MMIO_SLOT_SIZE, MMIO_SLOTS);
        interrupts_start(IRQ_MMIO + slot);
        return netdev_start(card);
    }
    return false;
}

/* --- power --- */

bool platform_power_button(void)
{
    bool pressed = get(gpio, GPIO_RAW_STATUS) & GPIO_POWER_BUTTON;

    if (pressed)
        set(gpio, GPIO_CLEAR, GPIO_POWER_BUTTON);
    return pressed;
}

void platform_off(void)
{
    register uint64_t call __asm__("x0") = 0x84000008;  /* SYSTEM_OFF */

    __asm__ volatile("hvc #0" : "+r"(call) : : "memory");
    platform_halt();
}

void platform_crash(void)
{
    platform_off();
}

void platform_halt(void)
{
    for (;;)
        __asm__ volatile("wfi");
}

/* --- the rest --- */

void platform_console(const char *string)
{
    while (*string)
        set(uart, 0, (uint8_t)*string++);
}

uint32_t platform_random(void)
{
    uint32_t value = mix(device_tree_seed ^ get(rtc, 0));

    for (const char *at = cmdline; *at; at++)
        value = mix(value) ^ (uint8_t)*at;
    return mix(value ^ (uint32_t)ticks_now());
}

void arm64_main(const uint8_t *device_tree)
{
    struct fdt_chosen chosen;

    started = ticks_now();
    fdt_read_chosen(device_tree, &chosen);
    cmdline = chosen.cmdline;
    device_tree_seed = chosen.seed;
    set(gpio, GPIO_EVENT, GPIO_POWER_BUTTON);   /* latch the rising edge */
    guest_main(cmdline);
}
