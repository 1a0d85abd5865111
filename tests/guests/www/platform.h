/* What a machine gives the guest: x86.c, arm64.c and xen.c implement it.
 *
 * Time is in microseconds since the guest was entered.  Interrupts only end
 * platform_idle(); no code of the guest runs in them but their acknowledgement,
 * so nothing here needs locks. */
#ifndef GUEST_PLATFORM_H
#define GUEST_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEVER UINT64_MAX

/** platform_now() - Microseconds since the guest was entered; never goes back */
uint64_t platform_now(void);

/**
 * platform_idle() - Sleep until an interrupt or until @until
 *
 * Returns early when it likes, and at once when a frame is waiting.
 */
void platform_idle(uint64_t until);

/** platform_console() - Write to the console; nothing where there is none */
void platform_console(const char *string);

/** platform_random() - A number that differs from boot to boot (not secret) */
uint32_t platform_random(void);

/** platform_nic() - Find the network card and start it */
bool platform_nic(void);

/**
 * platform_say() - Say something to jitsu: lines, or nothing at all
 *
 * Returns false when it was not said: there is nobody, or not yet.
 */
bool platform_say(const char *words);

/** platform_say_wake() - When platform_say() should be tried again at the latest, or NEVER */
uint64_t platform_say_wake(void);

/**
 * platform_power_button() - Was the guest asked to go since last asked?
 *
 * By the power button, or by an order in XenStore.
 */
bool platform_power_button(void);

/** platform_off() - Power off; where there is no way to, crash */
void platform_off(void) __attribute__((noreturn));

/** platform_crash() - Die at once */
void platform_crash(void) __attribute__((noreturn));

/** platform_halt() - Stop for good, without dying */
void platform_halt(void) __attribute__((noreturn));

/** guest_main() - What the platform calls once it knows the command line */
void guest_main(const char *cmdline) __attribute__((noreturn));

#endif
