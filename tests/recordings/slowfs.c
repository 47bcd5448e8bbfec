/* One file, /disk, passed through to $BACKING; each read and write first sleeps about the milliseconds in $KNOB.
 * cc -O2 -o slowfs slowfs.c $(pkg-config --cflags --libs fuse3) */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int backing;

static void nap(void) {
    double ms = 0;
    FILE *knob = fopen(getenv("KNOB"), "r");
    if (knob && fscanf(knob, "%lf", &ms) != 1) ms = 0;
    if (knob) fclose(knob);
    if (ms <= 0) return;
    ms *= 0.5 + (double)rand() / RAND_MAX; /* a real slow disk is not regular */
    struct timespec time = {(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    nanosleep(&time, NULL);
}

static int get_attributes(const char *path, struct stat *out, struct fuse_file_info *file) {
    (void)file;
    memset(out, 0, sizeof *out);
    if (!strcmp(path, "/")) {
        out->st_mode = S_IFDIR | 0755;
        out->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, "/disk")) return -ENOENT;
    return fstat(backing, out) ? -errno : 0;
}

static int open_disk(const char *path, struct fuse_file_info *file) {
    file->direct_io = 1;
    return strcmp(path, "/disk") ? -ENOENT : 0;
}

static int read_disk(const char *path, char *out, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)path, (void)file;
    void *aligned; /* as O_DIRECT wants it */
    nap();
    if (posix_memalign(&aligned, 4096, size)) return -ENOMEM;
    ssize_t done = pread(backing, aligned, size, offset);
    int result = done < 0 ? -errno : (int)done;
    if (done > 0) memcpy(out, aligned, done);
    free(aligned);
    return result;
}

static int write_disk(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)path, (void)file;
    void *aligned;
    nap();
    if (posix_memalign(&aligned, 4096, size)) return -ENOMEM;
    memcpy(aligned, data, size);
    ssize_t done = pwrite(backing, aligned, size, offset);
    int result = done < 0 ? -errno : (int)done;
    free(aligned);
    return result;
}

static int sync_disk(const char *path, int is_data_only, struct fuse_file_info *file) {
    (void)path, (void)is_data_only, (void)file;
    return 0;
}

static const struct fuse_operations operations = {
    .getattr = get_attributes, .open = open_disk, .read = read_disk, .write = write_disk, .fsync = sync_disk};

int main(int count, char **arguments) {
    backing = open(getenv("BACKING"), O_RDWR | O_DIRECT);
    if (backing < 0) {
        perror("BACKING");
        return 1;
    }
    return fuse_main(count, arguments, &operations, NULL);
}
