/* The wall between the processes: whatever bytes come, ipc_decode() refuses them or gives a struct
 * that encodes to the same bytes again, for every message type.
 *
 * The first byte chooses a type, whose header is put before the rest; 0 leaves the bytes as they
 * are, header included.  Before the first input every type makes a round trip with an empty body,
 * so that a type without a codec is found at once.
 */
#include <assert.h>

#include "base/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static _Alignas(16) uint8_t body[MSG_BODY_MAX];
static enum msg_type types[MSG_TYPE_MAX];
static size_t n_types;

static void check_packet(const uint8_t *packet, size_t n)
{
	static uint8_t again[IPC_PACKET_MAX];
	enum msg_type type;
	ssize_t length;

	if (ipc_decode(packet, n, &type, body) < 0)
		return;
	length = ipc_encode(type, body, again, sizeof(again));
	assert(length == (ssize_t)n && memcmp(packet, again, n) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t zeros[MSG_BODY_MAX];
	uint8_t packet[IPC_PACKET_MAX];

	(void)argc;
	(void)argv;
	for (unsigned type = 0; type < MSG_TYPE_MAX; type++) {
		enum msg_type back;
		ssize_t n;

		if (!msg_codec((enum msg_type)type))
			continue;
		assert(strcmp(msg_name((enum msg_type)type), "?") != 0);
		types[n_types++] = (enum msg_type)type;
		n = ipc_encode((enum msg_type)type, zeros, packet, sizeof(packet));
		assert(n > 0 && ipc_decode(packet, (size_t)n, &back, body) == 0 && back == type);
		check_packet(packet, (size_t)n);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t packet[IPC_PACKET_MAX];
	enum msg_type type;

	if (n == 0)
		return 0;
	if (data[0] == 0) {
		check_packet(data + 1, n - 1);
		return 0;
	}
	type = types[(data[0] - 1u) % n_types];
	packet[0] = IPC_LAYOUT & 0xff;
	packet[1] = IPC_LAYOUT >> 8;
	packet[2] = (uint8_t)type;
	packet[3] = (uint8_t)(type >> 8);
	n = MIN(n - 1, sizeof(packet) - 4);
	memcpy(packet + 4, data + 1, n);
	check_packet(packet, n + 4);
	return 0;
}
