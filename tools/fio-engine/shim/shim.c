/*
 * The half of the engine that sees fio: hooks and options. Everything else is behind engine.h.
 *
 * Threading: setup, layout and sizes are asked for by fio's main thread (or, without
 * create_serialize, by the job's), all other hooks by the job's thread.
 *
 * Faults survived: a fio of another version or layout than this was built for refuses to load it;
 * what cannot work is refused by name before anything is mounted; an I/O that fails is told to fio
 * with our sentence.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fio.h"
#include "optgroup.h"

#include "engine.h"

#define ENGINE "initiator"

static struct ioengine_ops engine;

/* fio's message of the end, and a line at once. */
static int failed(struct thread_data *td, int error, const char *why)
{
	log_err(ENGINE ": %s: %s\n", td->o.name ? td->o.name : "job", why);
	if (!error)
		error = EIO;
	td_vmsg(td, error, why, ENGINE);
	return error;
}

static bool stopping(void *context)
{
	return ((struct thread_data *)context)->terminate;
}

/* Whether the job relies on what it has written: that it is durable, or that it reads back. */
static bool keeps(const struct thread_data *td)
{
	return td_write(td) &&
	       (td->o.fsync_blocks || td->o.fdatasync_blocks || td->o.end_fsync ||
		td->o.fsync_on_close || td->o.sync_file_range || td->o.verify);
}

static struct initiator_job job_of(struct thread_data *td)
{
	return (struct initiator_job){
		.thread = td->thread_number ? td->thread_number - 1 : 0,
		.depth = td->o.iodepth,
		.block_max = td_max_bs(td),
		.stopping = stopping,
		.context = td,
		.keeps = keeps(td),
	};
}

/* What has no meaning here, by name. */
static const char *refusal(struct thread_data *td)
{
	if (td->io_ops != &engine || !td->eo)
		return "fio's memory is not laid out as in its sources that this engine was built with";
	if (!td->o.use_thread)
		return "thread=1 is needed: a job's mount belongs to a thread of this process";
	if (td_trim(td))
		return "trim is refused: NFSv3 has no operation for it; choose an rw= without trim";
	if (td->o.pre_read)
		return "pre_read is refused: this client caches nothing that it could fill";
	if (td->o.fill_device)
		return "fill_device is refused: give size=";
	if (td->o.mem_align)
		return "iomem_align is refused: buffers are registered memory, aligned to pages";
	return NULL;
}

/* The mount of the job's thread, or one to look at files with. */
static int control_of(struct thread_data *td, struct initiator_mount **mount)
{
	char why[INITIATOR_WHY];
	struct initiator_job job = job_of(td);
	int error;

	*mount = td->io_ops_data;
	if (*mount)
		return 0;
	error = initiator_control(td->eo, &job, mount, why);
	return error ? failed(td, error, why) : 0;
}

static int initiator_fio_get_file_size(struct thread_data *td, struct fio_file *f)
{
	char why[INITIATOR_WHY];
	struct initiator_mount *mount;
	struct initiator_file *file;
	uint64_t size = 0;
	int error;

	if (control_of(td, &mount))
		return 1;
	error = initiator_open(mount, f->file_name, false, &file, &size, why);
	if (!error)
		initiator_close(file);
	else if (error != ENOENT)
		return failed(td, error, why);
	f->filetype = FIO_TYPE_FILE;
	f->real_file_size = size;
	fio_file_set_size_known(f);
	return 0;
}

static int initiator_fio_setup(struct thread_data *td)
{
	const char *refused = refusal(td);
	struct fio_file *f;
	unsigned int i;

	if (refused)
		return failed(td, EINVAL, refused);
	for_each_file(td, f, i) {
		if (initiator_fio_get_file_size(td, f)) {
			initiator_control_end();
			return 1;
		}
	}
	return 0;
}

static void fill_block(void *context, void *block, unsigned int length)
{
	fill_io_buffer(context, block, length, length);
}

/* As fio does with local files: what is to be read has to be there. */
static int lay_out(struct thread_data *td, struct fio_file *f, uint64_t size)
{
	char why[INITIATOR_WHY];
	struct initiator_mount *mount;
	struct initiator_file *file;
	uint64_t present;
	int error;

	if (read_only)
		return failed(td, EROFS, "fio runs --readonly, and the files are too short");
	if (control_of(td, &mount))
		return 1;
	error = initiator_open(mount, f->file_name, td->o.allow_create, &file, &present, why);
	if (error)
		return failed(td, error, why);
	error = initiator_lay_out(mount, file, size, td->o.create_fsync, fill_block, td, why);
	initiator_close(file);
	return error ? failed(td, error, why) : 0;
}

static int initiator_fio_prepopulate(struct thread_data *td, struct fio_file *f)
{
	uint64_t size = f->file_offset + f->io_size;
	bool needed = td_read(td) || (td_write(td) && td->o.overwrite);
	int ret = 0;

	if (size > f->real_file_size) {
		if (needed && !td->o.create_on_open)
			ret = lay_out(td, f, size);
		f->real_file_size = size;
	}
	if (ret || f->fileno + 1 == td->files_index)
		initiator_control_end();
	return ret;
}

/* As fio counts it: blocks without a gap, and room to align the first. */
static size_t memory_wanted(struct thread_data *td)
{
	return td_max_bs(td) * td->o.iodepth + page_size;
}

static int initiator_fio_init(struct thread_data *td)
{
	char why[INITIATOR_WHY];
	struct initiator_job job = job_of(td);
	struct initiator_mount *mount;
	const char *refused = refusal(td);
	size_t stride;
	void *memory;
	int error;

	/* Without create_serialize the files come later. */
	if (refused)
		return failed(td, EINVAL, refused);
	error = initiator_mount(td->eo, &job, &mount, why);
	if (error)
		return failed(td, error, why);
	td->io_ops_data = mount;
	/* Here, because fio goes on when iomem_alloc fails. */
	error = initiator_memory(mount, memory_wanted(td), &memory, &stride, why);
	return error ? failed(td, error, why) : 0;
}

static void initiator_fio_cleanup(struct thread_data *td)
{
	if (td->io_ops_data)
		initiator_unmount(td->io_ops_data);
	td->io_ops_data = NULL;
}

/* fio's blocks are ours: what it fills is sent from where it stands. */
static int initiator_fio_iomem_alloc(struct thread_data *td, size_t total)
{
	char why[INITIATOR_WHY];
	size_t stride;
	void *memory;
	int error;

	error = initiator_memory(td->io_ops_data, total, &memory, &stride, why);
	if (error)
		return failed(td, error, why);
	td->orig_buffer = memory;
	return 0;
}

/* The memory goes with the mount. */
static void initiator_fio_iomem_free(struct thread_data *td)
{
	td->orig_buffer = NULL;
}

/* fio packs blocks one behind the other; ours begin on pages. Filled ones move, the last first. */
static int initiator_fio_post_init(struct thread_data *td)
{
	char why[INITIATOR_WHY];
	size_t stride;
	void *memory;
	int error, i;

	if (!td->orig_buffer)
		return failed(td, EINVAL, "iomem is refused: buffers are registered memory");
	error = initiator_memory(td->io_ops_data, 0, &memory, &stride, why);
	if (error)
		return failed(td, error, why);
	for (i = (int)td->o.iodepth - 1; i >= 0; i--) {
		struct io_u *io_u = td->io_u_all.io_us[i];
		char *block = (char *)memory + (size_t)i * stride;

		if (io_u->buf != block)
			memmove(block, io_u->buf, td_max_bs(td));
		io_u->buf = block;
	}
	return 0;
}

static int initiator_fio_open_file(struct thread_data *td, struct fio_file *f)
{
	char why[INITIATOR_WHY];
	struct initiator_file *file;
	bool create = td_write(td) && td->o.allow_create && !read_only;
	uint64_t size;
	int error;

	error = initiator_open(td->io_ops_data, f->file_name, create, &file, &size, why);
	if (error)
		return failed(td, error, why);
	FILE_SET_ENG_DATA(f, file);
	return 0;
}

static int initiator_fio_close_file(struct thread_data *td, struct fio_file *f)
{
	initiator_close(FILE_ENG_DATA(f));
	FILE_SET_ENG_DATA(f, NULL);
	return 0;
}

/* This client caches nothing. */
static int initiator_fio_invalidate(struct thread_data *td, struct fio_file *f)
{
	return 0;
}

static int initiator_fio_unlink_file(struct thread_data *td, struct fio_file *f)
{
	char why[INITIATOR_WHY];
	struct initiator_mount *mount;
	int error;

	if (control_of(td, &mount))
		return td->error;
	error = initiator_remove(mount, f->file_name, why);
	if (error && error != ENOENT)
		failed(td, error, why);
	return error;
}

static enum initiator_op write_op(const struct thread_data *td)
{
	if ((td->o.sync_io & O_SYNC) == O_SYNC)
		return INITIATOR_WRITE_FILE_SYNC;
	return td->o.sync_io & O_DSYNC ? INITIATOR_WRITE_DATA_SYNC : INITIATOR_WRITE;
}

static enum fio_q_status initiator_fio_queue(struct thread_data *td, struct io_u *io_u)
{
	struct initiator_io io = {
		.slot = io_u->index,
		.file = FILE_ENG_DATA(io_u->file),
		.memory = io_u->xfer_buf,
		.offset = io_u->offset,
		.length = io_u->xfer_buflen,
	};

	fio_ro_check(td, io_u);
	io_u->mmap_data = NULL; /* the engine's own field; ours is the sentence about an error */
	switch (io_u->ddir) {
	case DDIR_READ:
		io.op = INITIATOR_READ;
		break;
	case DDIR_WRITE:
		io.op = write_op(td);
		break;
	case DDIR_SYNC:
	case DDIR_DATASYNC:
	case DDIR_SYNC_FILE_RANGE:
		io.op = INITIATOR_COMMIT;
		break;
	default:
		io_u->error = EOPNOTSUPP;
		return FIO_Q_COMPLETED;
	}
	return initiator_queue(td->io_ops_data, &io) == INITIATOR_BUSY ? FIO_Q_BUSY : FIO_Q_QUEUED;
}

static int initiator_fio_commit(struct thread_data *td)
{
	initiator_commit(td->io_ops_data);
	return 0;
}

static int initiator_fio_getevents(struct thread_data *td, unsigned int min, unsigned int max,
				   const struct timespec *t)
{
	uint64_t timeout_ns = UINT64_MAX;

	if (t)
		timeout_ns = (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec;
	return (int)initiator_get_events(td->io_ops_data, min, max, timeout_ns);
}

/* fio asks for events in their order. */
static struct io_u *initiator_fio_event(struct thread_data *td, int number)
{
	struct initiator_event event;
	struct io_u *io_u;

	if (!initiator_next_event(td->io_ops_data, &event))
		return NULL;
	io_u = td->io_u_all.io_us[event.slot];
	io_u->error = (unsigned int)event.error;
	io_u->resid = event.residual;
	if (event.error) {
		const char *why = initiator_error(td->io_ops_data, event.slot);

		io_u->mmap_data = (void *)why;
		/* fio overlooks the error of a sync that was not done at once. */
		if (ddir_sync(io_u->ddir))
			failed(td, event.error, why ? why : "COMMIT failed");
	}
	return io_u;
}

/* fio asks only for an I/O that failed, frees the answer, and does not say which job it is. */
static char *initiator_fio_errdetails(struct io_u *io_u)
{
	const char *why = io_u->mmap_data;

	return strdup(why ? why : ENGINE ": NFSv3 has no such operation");
}

#define NUMBER(field, lowest, highest, preset, text)                                               \
	{                                                                                          \
		.name = #field, .lname = #field, .type = FIO_OPT_INT,                              \
		.off1 = offsetof(struct initiator_settings, field), .minval = (lowest),            \
		.maxval = (highest), .def = preset, .help = text,                                  \
		.category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_INVALID,                          \
	}
#define TEXT(field, text)                                                                          \
	{                                                                                          \
		.name = #field, .lname = #field, .type = FIO_OPT_STR_STORE,                        \
		.off1 = offsetof(struct initiator_settings, field), .help = text,                  \
		.category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_INVALID,                          \
	}
/* The values' numbers are those of src/settings.rs. */
#define CHOICE(field, preset, text, ...)                                                           \
	{                                                                                          \
		.name = #field, .lname = #field, .type = FIO_OPT_STR,                              \
		.off1 = offsetof(struct initiator_settings, field), .def = preset, .help = text,   \
		.posval = { __VA_ARGS__ }, .category = FIO_OPT_C_ENGINE,                           \
		.group = FIO_OPT_G_INVALID,                                                        \
	}
#define VALUE(word, number, text) { .ival = word, .oval = number, .help = text }

static struct fio_option options[] = {
	TEXT(nfs_url, "nfs://HOST[:PORT]/EXPORT/PATH over RDMA, or soft: for a target in this process"),
	TEXT(cores, "Cores to pin threads to, in turn: 0,1 or 2-5 (default: not pinned)"),
	CHOICE(registration, "auto", "How the server reaches buffers",
	       VALUE("auto", 0, "window where the device can"),
	       VALUE("window", 1, "A key for each I/O"),
	       VALUE("static", 2, "One key")),
	CHOICE(recovery, "hard", "When a connection is lost, as in nfs(5)",
	       VALUE("hard", 0, "I/O waits for the server for as long as it takes"),
	       VALUE("soft", 1, "I/O fails with EIO after retrans retransmissions"),
	       VALUE("softerr", 2, "I/O fails with ETIMEDOUT after retrans retransmissions"),
	       VALUE("never", 3, "The mount is given up")),
	CHOICE(hugepages, "preferred", "Buffers on huge pages",
	       VALUE("preferred", 0, "If there are any"),
	       VALUE("required", 1, "Or not at all"),
	       VALUE("off", 2, "Plain pages")),
	CHOICE(idle, "auto", "What a thread does while it waits for the server",
	       VALUE("auto", 0, "yield with soft:, else spin"),
	       VALUE("spin", 1, "Poll, and poll again"),
	       VALUE("yield", 2, "Offer the core to others")),
	NUMBER(max_requests, 1, 4096, "128", "Calls in flight on a mount; the server may grant fewer"),
	NUMBER(inline_send, 1024, 262144, "4096", "Largest message sent inline"),
	NUMBER(inline_receive, 1024, 262144, "4096", "Largest message received inline"),
	NUMBER(copy_max, 0, 262144, "512", "Data up to this size is copied into the Send"),
	NUMBER(timeo, 1, 100000000, "600", "Tenths of a second that a call may go unanswered"),
	NUMBER(retrans, 0, 1000, "2", "Retransmissions before a soft mount's I/O fails"),
	NUMBER(mountport, 0, 65535, "0", "Port of MOUNT; 0 asks the server's rpcbind"),
	NUMBER(nconnect, 1, 16, "1", "Connections of each thread's mount"),
	NUMBER(uncommitted_max, 0, 1073741824, "4194304",
	       "Bytes that jobs with fsync or verify keep until they are durable; 0 keeps none"),
	{ .name = NULL },
};

static struct ioengine_ops engine = {
	.name = ENGINE,
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_DISKLESSIO | FIO_NODISKUTIL | FIO_NO_OFFLOAD,
	.setup = initiator_fio_setup,
	.init = initiator_fio_init,
	.post_init = initiator_fio_post_init,
	.cleanup = initiator_fio_cleanup,
	.queue = initiator_fio_queue,
	.commit = initiator_fio_commit,
	.getevents = initiator_fio_getevents,
	.event = initiator_fio_event,
	.errdetails = initiator_fio_errdetails,
	.open_file = initiator_fio_open_file,
	.close_file = initiator_fio_close_file,
	.invalidate = initiator_fio_invalidate,
	.unlink_file = initiator_fio_unlink_file,
	.get_file_size = initiator_fio_get_file_size,
	.prepopulate_file = initiator_fio_prepopulate,
	.iomem_alloc = initiator_fio_iomem_alloc,
	.iomem_free = initiator_fio_iomem_free,
	.option_struct_size = sizeof(struct initiator_settings),
	.options = options,
};

/*
 * fio checks the version of ioengine_ops, which says nothing of struct thread_data. Its own option
 * table says where its fields are: these are spread over the structure.
 */
static bool same_layout(void)
{
	static const struct {
		const char *name;
		unsigned int offset;
	} fields[] = {
		{ "iodepth", offsetof(struct thread_options, iodepth) },
		{ "sync", offsetof(struct thread_options, sync_io) },
		{ "thread", offsetof(struct thread_options, use_thread) },
		{ "iomem_align", offsetof(struct thread_options, mem_align) },
		{ "allow_file_create", offsetof(struct thread_options, allow_create) },
	};
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct fio_option *o = fio_options;

		while (o->name && strcmp(o->name, fields[i].name))
			o++;
		if (!o->name || o->off1 != fields[i].offset)
			return false;
	}
	return true;
}

void *initiator_shim_load(size_t settings_size)
{
	if (strcmp(fio_version_string, FIO_VERSION)) {
		log_err(ENGINE ": this engine was built for %s, but this is %s: build it with the "
			"sources of that version (tools/deps fio-engine)\n", FIO_VERSION, fio_version_string);
		return NULL;
	}
	if (!same_layout() || settings_size != sizeof(struct initiator_settings)) {
		log_err(ENGINE ": this engine was built with sources of %s that are configured "
			"otherwise than this fio: build it again (tools/deps fio-engine)\n", FIO_VERSION);
		return NULL;
	}
	return &engine;
}
