/*
 * Prints what the kernel's UAPI headers (and glibc, for what it defines itself) say, one fact a line.
 * FACTS_FILE is the list of facts to print, one a line, written by uapi-facts.ts from protocol/: a name
 * that a header lacks is then an error on its own line, and is reported instead of ending the dump.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <linux/un.h>
#include <linux/vhost.h>
#include <linux/vhost_types.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define SIZE(name) printf("%s %zu\n", #name, sizeof(struct name));
#define FIELD(name, field) \
	printf("%s.%s %zu+%zu\n", #name, #field, offsetof(struct name, field), \
	       sizeof(((struct name *)0)->field));
#define VALUE(name) printf("%s %llu\n", #name, (unsigned long long)(name));

int main(void)
{
#include FACTS_FILE
	return 0;
}
