/* What a killed predecessor has left in the embedded driver's directory, and libvirt would wait
 * for: 30 s for each, with the domain's lock held, so that it can be neither started nor stopped.
 *
 * libvirt notes each domain that runs in ROOT/run/qemu/NAME.xml, beginning before its QEMU is
 * executed.  When it is opened again it connects to the monitor of every one noted, and goes on
 * trying.  Two kinds can never answer, and are taken away before libvirt sees them:
 *   - the note names no process, or one that is gone, or that is not this domain's QEMU;
 *   - it says "starting up": its QEMU waits for a "cont" that died with the predecessor.  It is
 *     ended.  Nobody was told that this domain runs; whoever asked for it asks again.
 * A domain that was up is left alone.
 */
#ifndef BACKENDS_STALE_H
#define BACKENDS_STALE_H

/* libvirt forks, and what it has forked goes on as this very program, with the descriptors of taps,
 * until it executes QEMU.  Such processes of a killed predecessor, which had the same command line as
 * this one, are ended: nobody will tell them to go on, and the taps are wanted again.  Before this
 * process forks.  Nobody is ended while somebody has the driver open: that is no fork of a dead one.
 * How many there were. */
unsigned stale_end_forks(const char *root);

/* Before the driver is opened, and after whoever had it open has ended.  How many there were. */
unsigned stale_clear(const char *root);

#endif
