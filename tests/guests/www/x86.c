/* PC (i440FX), Q35 and microvm.
 *
 * Time: the local APIC's timer counts nanoseconds, under emulation as under
 * KVM, so it needs no calibration, but it is busy as the alarm clock.  The time
 * stamp counter is the clock; its frequency is learnt by comparing the two over
 * the longest stretch of the timer seen so far.  The first stretch is the
 * boot itself: nothing ever waits for a calibration.
 *
 * Interrupts are off but for the instruction in platform_idle() that sleeps.
 * The card's interrupt and the timer's only end that sleep.
 *
 * Power: PCs have the ACPI registers of their south bridge, microvm (with acpi
 * on) the generic event device.  Both are polled.  microvm without ACPI has no
 * button, and no way off but a triple fault (give QEMU -no-reboot).
 *
 * The command line comes from fw_cfg: some versions of qboot hand a PVH kernel
 * a pointer to nowhere. */
#include "lib.h"
#include "platform.h"
#include "virtio.h"
#include "x86-io.h"
#include "x86-pci.h"

enum {
    VECTOR_NIC = 0x30, VECTOR_TIMER = 0x31, VECTOR_SPURIOUS = 0x3f, VECTORS = 0x40,

    APIC_PRIORITY = 0x80, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0,
    APIC_TIMER = 0x320, APIC_LINT0 = 0x350, APIC_INITIAL = 0x380,
    APIC_CURRENT = 0x390, APIC_DIVIDE = 0x3e0,
    APIC_ENABLE = 0x100, APIC_MASKED = 0x10000, APIC_DIVIDE_BY_1 = 0xb,

    IOAPIC_PINS = 24, IOAPIC_LEVEL = 0x8000,
    MMIO_SLOTS = 24, MMIO_SLOT_SIZE = 512,

    SERIAL = 0x3f8, SERIAL_LINE_CONTROL = 3, SERIAL_LINE_STATUS = 5,
    SERIAL_8N1 = 3, SERIAL_EMPTY = 0x20,

    FW_CFG_SIGNATURE = 0, FW_CFG_CMDLINE_SIZE = 0x14, FW_CFG_CMDLINE = 0x15,

    PM_STATUS = 0, PM_ENABLE = 2, PM_CONTROL = 4,
    PM_POWER_BUTTON = 0x100, PM_SLEEP_S5 = 0x2000,
    GED_POWER_BUTTON = 2, GED_SLEEP_S5 = 0x34,

    SLEEP_MAX = 200000,         /* microseconds */
    SAMPLE_ENOUGH = 100000000,  /* nanoseconds */
};

static volatile uint32_t *const apic = (void *)0xfee00000;
static volatile uint32_t *const ioapics[] = { (void *)0xfec00000, (void *)0xfec10000 };
static volatile uint32_t *const ged_events = (void *)0xfea00000;
static volatile uint8_t *const ged_sleep_control = (void *)0xfea00200;
static const uintptr_t mmio_slots = 0xfeb00000;

static char cmdline[2048];
static uint16_t pm_base;        /* 0: no south bridge, this is a microvm */

static uint32_t x86_gates[VECTORS][2] __attribute__((aligned(8)));

/* What x86-start.S and x86-interrupt.S call, and what they have. */
void x86_main(const uint32_t *start_info) __attribute__((noreturn));
void x86_interrupt(void);
extern void x86_interrupt_entry(void), x86_interrupt_spurious(void);

static uint32_t apic_get(unsigned offset)
{
    return apic[offset / 4];
}

static void apic_set(unsigned offset, uint32_t value)
{
    apic[offset / 4] = value;
}

/* --- time --- */

static struct {
    uint64_t ticks, time;       /* the clock read @time at @ticks */
    uint32_t scale;             /* microseconds per tick, times 2^32 */
    uint32_t best;              /* nanoseconds that @scale was learnt over */
    uint64_t armed_ticks;       /* when the timer was armed */
    uint32_t armed;             /* with what */
} timebase = { .scale = 0xffffffff / 1000 };

static uint64_t ticks_now(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void timer_arm(uint32_t nanoseconds)
{
    timebase.armed = nanoseconds;
    timebase.armed_ticks = ticks_now();
    apic_set(APIC_INITIAL, nanoseconds);
}

static uint64_t time_at(uint64_t ticks)
{
    uint64_t passed = ticks - timebase.ticks;
    uint64_t high = (passed >> 32) * timebase.scale;
    uint64_t low = (passed & 0xffffffff) * timebase.scale;

    return timebase.time + high + (low >> 32);
}

/* Compares the clocks, unless the timer has run out or the last comparison was
 * over a longer time. */
static void timebase_learn(void)
{
    uint32_t left = apic_get(APIC_CURRENT), passed = timebase.armed - left;
    uint64_t now = ticks_now(), ticks = now - timebase.armed_ticks;

    if (!left || passed <= timebase.best || !ticks)
        return;
    timebase.time = timebase.best ? time_at(now) : passed / 1000;
    timebase.ticks = now;
    timebase.best = passed;
    timebase.scale = (uint32_t)(((uint64_t)passed << 32) / ticks / 1000);
}

uint64_t platform_now(void)
{
    if (timebase.best < SAMPLE_ENOUGH)
        timebase_learn();
    return time_at(ticks_now());
}

static void time_start(void)
{
    apic_set(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
    apic_set(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    apic_set(APIC_TIMER, APIC_MASKED | VECTOR_TIMER);
    timer_arm(UINT32_MAX);
}

/* --- interrupts --- */

static void gate_set(unsigned vector, void (*entry)(void))
{
    uint32_t address = (uint32_t)(uintptr_t)entry;

    x86_gates[vector][0] = 8u << 16 | (address & 0xffff);
    x86_gates[vector][1] = (address & 0xffff0000) | 0x8e00;
}

static void interrupts_start(void)
{
    static const struct {
        uint16_t limit;
        const void *base;
    } __attribute__((packed)) gates = { sizeof x86_gates - 1, x86_gates };

    __asm__ volatile("lidt %0" : : "m"(gates));
    out8(0x21, 0xff);           /* the two old controllers stay out of it */
    out8(0xa1, 0xff);
    apic_set(APIC_LINT0, APIC_MASKED);
    apic_set(APIC_PRIORITY, 0);
    gate_set(VECTOR_NIC, x86_interrupt_entry);
    gate_set(VECTOR_TIMER, x86_interrupt_entry);
    gate_set(VECTOR_SPURIOUS, x86_interrupt_spurious);
    apic_set(APIC_TIMER, VECTOR_TIMER);
}

static uint32_t ioapic_get(unsigned which, unsigned index)
{
    ioapics[which][0] = index;
    return ioapics[which][4];
}

static void ioapic_set(unsigned which, unsigned index, uint32_t value)
{
    ioapics[which][0] = index;
    ioapics[which][4] = value;
}

static void route_nic(unsigned line)
{
    unsigned which = line / IOAPIC_PINS, pin = line % IOAPIC_PINS;

    if (which >= COUNT(ioapics))
        return;                 /* not connected: polling will have to do */
    ioapic_set(which, 0x11 + 2 * pin, 0);       /* to processor 0 */
    ioapic_set(which, 0x10 + 2 * pin, IOAPIC_LEVEL | VECTOR_NIC);
}

void x86_interrupt(void)
{
    netdev_interrupt();
    apic_set(APIC_EOI, 0);
}

void platform_idle(uint64_t until)
{
    uint64_t now = platform_now();

    if (until <= now || netdev_pending())
        return;
    if (until - now > SLEEP_MAX)
        until = now + SLEEP_MAX;
    timer_arm((uint32_t)(until - now) * 1000);
    /* An interrupt between these two waits for the second: none is missed. */
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* --- finding the card --- */

/* With ACPI on, slots interrupt on the second I/O APIC.  With ACPI off there
 * is only one, and QEMU tells where by appending a word per device, such as
 * "virtio_mmio.device=512@0xfeb00e00:12". */
static unsigned mmio_line(unsigned slot)
{
    uint32_t version = ioapic_get(1, 1), base, line;
    const char *at, *number;

    if (version && version != UINT32_MAX)
        return IOAPIC_PINS + slot;
    for (at = cmdline; *at; at++) {
        number = text_starts(at, "virtio_mmio.device=512@0x");
        if (number && text_number(&number, 16, &base) && *number++ == ':'
            && text_number(&number, 10, &line)
            && base == mmio_slots + slot * MMIO_SLOT_SIZE)
            return line;
    }
    return UINT32_MAX;
}

static const struct virtio_transport *mmio_net(unsigned *line)
{
    const struct virtio_transport *card = NULL;

    for (unsigned slot = 0; slot < MMIO_SLOTS && !card; slot++) {
        card = virtio_mmio_device(mmio_slots + slot * MMIO_SLOT_SIZE, VIRTIO_ID_NET);
        if (card)
            *line = mmio_line(slot);
    }
    return card;
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
    unsigned line = UINT32_MAX;
    const struct virtio_transport *card =
        pm_base ? virtio_pci_net(&line) : mmio_net(&line);

    if (!card)
        return false;
    if (!pm_base)
        virtio_talk_find(mmio_slots, MMIO_SLOT_SIZE, MMIO_SLOTS);
    route_nic(line);            /* first: a line that is up already goes unseen */
    return netdev_start(card);
}

/* --- power --- */

/* The south bridge's ACPI registers: 82371 (PIIX4) or ICH9. */
static void find_power(void)
{
    static const struct {
        uint32_t id;
        uint8_t device, function;
    } bridges[] = { { 0x71138086, 1, 3 }, { 0x29188086, 31, 0 } };

    for (size_t i = 0; i < COUNT(bridges); i++) {
        pci_function at = pci_at(0, bridges[i].device, bridges[i].function);

        if (pci_get32(at, PCI_ID) == bridges[i].id)
            pm_base = pci_get32(at, 0x40) & 0xff80;
    }
    if (pm_base)
        out16(pm_base + PM_ENABLE, PM_POWER_BUTTON);
}

bool platform_power_button(void)
{
    uint32_t events;

    if (pm_base)
        return in16(pm_base + PM_STATUS) & PM_POWER_BUTTON;
    events = *ged_events;       /* reading clears */
    return events != UINT32_MAX && events & GED_POWER_BUTTON;
}

void platform_off(void)
{
    if (pm_base)
        out16(pm_base + PM_CONTROL, PM_SLEEP_S5);
    else
        *ged_sleep_control = GED_SLEEP_S5;
    for (unsigned wait = 0; wait < 1000; wait++)
        in8(SERIAL + SERIAL_LINE_STATUS);       /* the power takes its time */
    platform_crash();
}

void platform_crash(void)
{
    static const struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) no_gates = { 0, 0 };

    __asm__ volatile("lidt %0; int3" : : "m"(no_gates));        /* triple fault */
    platform_halt();
}

void platform_halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* --- the rest --- */

static bool serial_is_there(void)
{
    static enum { UNKNOWN, ABSENT, PRESENT } serial;

    if (serial == UNKNOWN) {
        serial = in8(SERIAL + SERIAL_LINE_STATUS) == 0xff ? ABSENT : PRESENT;
        out8(SERIAL + SERIAL_LINE_CONTROL, SERIAL_8N1);
    }
    return serial == PRESENT;
}

void platform_console(const char *string)
{
    if (!serial_is_there())
        return;
    for (; *string; string++) {
        for (unsigned wait = 0; wait < 1000; wait++)
            if (in8(SERIAL + SERIAL_LINE_STATUS) & SERIAL_EMPTY)
                break;
        out8(SERIAL, (uint8_t)*string);
    }
}

static uint8_t cmos_get(unsigned index)
{
    out8(0x70, (uint8_t)index);
    return in8(0x71);
}

/* The time of day (seconds, minutes, hours), the command line and how long the
 * boot has taken: two boots never share all three. */
uint32_t platform_random(void)
{
    uint32_t value = (uint32_t)ticks_now();

    for (unsigned index = 0; index <= 4; index += 2)
        value = mix(value) ^ cmos_get(index);
    for (const char *at = cmdline; *at; at++)
        value = mix(value) ^ (uint8_t)*at;
    return mix(value ^ (uint32_t)ticks_now());
}

static bool fw_cfg_is_there(void)
{
    out16(0x510, FW_CFG_SIGNATURE);
    return in8(0x511) == 'Q' && in8(0x511) == 'E' && in8(0x511) == 'M';
}

static void fw_cfg_cmdline(void)
{
    uint32_t size = 0, i;

    out16(0x510, FW_CFG_CMDLINE_SIZE);
    for (i = 0; i < 32; i += 8)
        size |= (uint32_t)in8(0x511) << i;
    out16(0x510, FW_CFG_CMDLINE);
    for (i = 0; i < size && i < sizeof cmdline - 1; i++)
        cmdline[i] = (char)in8(0x511);
}

static void start_info_cmdline(const uint32_t *start_info)
{
    struct text text = { .start = cmdline, .room = sizeof cmdline };

    if (start_info[0] == 0x336ec578 && start_info[6])
        text_add(&text, (const char *)start_info[6]);
}

void x86_main(const uint32_t *start_info)
{
    time_start();
    if (fw_cfg_is_there())
        fw_cfg_cmdline();
    else
        start_info_cmdline(start_info);
    find_power();
    interrupts_start();
    guest_main(cmdline);
}
