/*
 * What the engine's C half (shim.c, which sees fio) and its Rust half (src/abi.rs, which sees the
 * client) know of each other. Plain C types only, so that neither needs the other's headers.
 *
 * Threading: a thread's mount belongs to the fio thread that made it.
 */
#ifndef INITIATOR_ENGINE_H
#define INITIATOR_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for a sentence about what went wrong. */
#define INITIATOR_WHY 512

/* The engine's options, as fio fills them in: src/settings.rs has the same. */
struct initiator_settings {
	void *pad; /* fio takes offset 0 for "no option" */
	char *nfs_url;
	char *cores;
	unsigned int registration;
	unsigned int recovery;
	unsigned int hugepages;
	unsigned int idle;
	unsigned int max_requests;
	unsigned int inline_send;
	unsigned int inline_receive;
	unsigned int copy_max;
	unsigned int timeo;
	unsigned int retrans;
	unsigned int mountport;
	unsigned int nconnect;
	unsigned int uncommitted_max;
};

/* What a mount is for. */
struct initiator_job {
	unsigned int thread;	/* counted from 0 */
	unsigned int depth;
	uint64_t block_max;	/* bytes */
	/* Whether fio wants the thread to end. */
	bool (*stopping)(void *);
	void *context;		/* for stopping */
	/* Whether what is written is to be kept until a COMMIT has proven it durable. */
	bool keeps;
};

enum initiator_op {
	INITIATOR_READ,
	INITIATOR_WRITE,
	INITIATOR_WRITE_DATA_SYNC,
	INITIATOR_WRITE_FILE_SYNC,
	INITIATOR_COMMIT,
};

enum initiator_queued {
	INITIATOR_QUEUED,
	INITIATOR_BUSY,
};

struct initiator_mount;
struct initiator_file;

struct initiator_io {
	unsigned int slot;	/* 0 to depth - 1 */
	enum initiator_op op;
	const struct initiator_file *file;
	void *memory;
	uint64_t offset;
	uint64_t length;
};

struct initiator_event {
	unsigned int slot;
	int error;		/* errno, or 0 */
	uint64_t residual;	/* bytes that were not moved */
};

/* All that can fail return an errno, 0 for success, and put a sentence into why. */

/* Mounts and stays: the job's memory and its I/O. */
int initiator_mount(const struct initiator_settings *, const struct initiator_job *,
		    struct initiator_mount **, char *why);
/* A mount of the calling thread to look at files and lay them out with, kept for the next call. */
int initiator_control(const struct initiator_settings *, const struct initiator_job *,
		      struct initiator_mount **, char *why);
/* Ends that of initiator_control. */
void initiator_control_end(void);
void initiator_unmount(struct initiator_mount *);

/* Registered memory for the job's blocks; they are *stride bytes apart. */
int initiator_memory(struct initiator_mount *, size_t total, void **, size_t *stride, char *why);

/* Finds a file, or makes it. */
int initiator_open(struct initiator_mount *, const char *path, bool create,
		   struct initiator_file **, uint64_t *size, char *why);
void initiator_close(struct initiator_file *);
int initiator_remove(struct initiator_mount *, const char *path, char *why);
/* Writes a file from its start up to size, with what fill puts into each block. */
int initiator_lay_out(struct initiator_mount *, const struct initiator_file *, uint64_t size,
		      bool commit, void (*fill)(void *context, void *block, unsigned int length),
		      void *context, char *why);

enum initiator_queued initiator_queue(struct initiator_mount *, const struct initiator_io *);
void initiator_commit(struct initiator_mount *);
/* timeout_ns: UINT64_MAX waits for as long as it takes. */
unsigned int initiator_get_events(struct initiator_mount *, unsigned int min, unsigned int max,
				  uint64_t timeout_ns);
/* The next of those events. False: there is none. */
bool initiator_next_event(struct initiator_mount *, struct initiator_event *);
/* What was wrong with the last I/O of a slot; NULL: nothing. Valid until its next one. */
const char *initiator_error(const struct initiator_mount *, unsigned int slot);

/* Called by initiator's get_ioengine: fio's ioengine_ops, or NULL after saying what does not fit. */
void *initiator_shim_load(size_t settings_size);

#endif
