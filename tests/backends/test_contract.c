/* The backend contract (backends/backend.h), as messages to a process and back: the same cases for
 * every backend.
 *
 *     test_contract                          the fake one; needs nothing
 *     test_contract libvirt KERNEL [strict]  jitsu-libvirt with its embedded driver; root
 *     test_contract libvirtd KERNEL          jitsu-libvirt with a libvirtd that the test starts; root
 *     test_contract libxl KERNEL [pv|pvh]    jitsu-libxl; in dom0 of a Xen that is there for the test (tests/xen)
 *
 * KERNEL is tests/guests' www.elf; www-arm64.img beside it is tried too.  JITSU_LIBVIRT or JITSU_LIBXL names
 * the program (default: beside the tests in the build directory).  Exits 77 where the host cannot do it, and says why.
 */
#include "tests/backends/contract.h"

#include <libgen.h>

static void find_program(const char *argv0, const char *name, const char *variable)
{
	static char beside[4096];

	suite.program = getenv(variable);
	if (suite.program)
		return;
	snprintf(beside, sizeof(beside), "%s/../../%s", dirname(strdup(argv0)), name);
	suite.program = beside;
}

static int run_fake(void)
{
	char saved[96];
	int failed;

	snprintf(suite.dir, sizeof(suite.dir), "/tmp/jitsu-test-XXXXXX");
	if (!mkdtemp(suite.dir))
		return cannot("needs a directory of its own");
	failed = run_common("backend contract: fake") + run_saves() + run_many_requests() +
		 run_with_definitions("backend contract: the fake's definitions");
	snprintf(saved, sizeof(saved), "%s/saved", suite.dir);
	rmdir(saved);
	rmdir(suite.dir);
	return failed;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	suite.kernel = "/proc/self/exe"; /* the fake only looks whether it is there */
	suite.isolation = "fast";
	suite.machine = "";
	if (argc < 2 || strcmp(argv[1], "fake") == 0)
		return run_fake();
	suite.daemon = strcmp(argv[1], "libvirtd") == 0;
	suite.xen = strcmp(argv[1], "libxl") == 0;
	suite.libvirt = suite.daemon || strcmp(argv[1], "libvirt") == 0;
	if (argc < 3 || (!suite.libvirt && !suite.xen))
		return cannot("usage: test_contract [fake | libvirt KERNEL [strict] | libvirtd KERNEL | libxl KERNEL [pv|pvh]]");
	suite.kernel = argv[2];
	snprintf(suite.kernel_arm64, sizeof(suite.kernel_arm64), "%s-arm64.img", suite.kernel);
	if (strstr(suite.kernel, ".elf"))
		strcpy(strstr(suite.kernel_arm64, ".elf"), "-arm64.img");
	if (suite.xen) {
		suite.machine = argc > 3 ? argv[3] : "pv";
		find_program(argv[0], "jitsu-libxl", "JITSU_LIBXL");
		return run_xen();
	}
	if (argc > 3)
		suite.isolation = argv[3];
	find_program(argv[0], "jitsu-libvirt", "JITSU_LIBVIRT");
	return run_libvirt();
}
