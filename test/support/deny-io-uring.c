/*
 * Runs a program where io_uring is forbidden, as container runtimes do by default: a seccomp filter
 * answers EPERM to its three system calls, in the program and in all that it starts. With --aio-too also
 * to io_setup, so that Linux AIO cannot be had either. For tests.
 * Usage: deny-io-uring [--aio-too] PROGRAM [ARGUMENT...]
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD_NUMBER \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define DENY(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

int main(int argc, char **argv)
{
	int aio_too = argc > 1 && strcmp(argv[1], "--aio-too") == 0;
	char **command = argv + 1 + aio_too;
	struct sock_filter filter[] = {
		LOAD_NUMBER,
		DENY(aio_too ? __NR_io_setup : __NR_io_uring_setup),
		DENY(__NR_io_uring_setup),
		DENY(__NR_io_uring_enter),
		DENY(__NR_io_uring_register),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (command[0] == NULL) {
		fprintf(stderr, "usage: deny-io-uring [--aio-too] PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	/* Without this only root may install a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		perror("deny-io-uring: PR_SET_NO_NEW_PRIVS");
		return 125;
	}
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("deny-io-uring: PR_SET_SECCOMP");
		return 125;
	}
	execvp(command[0], command);
	perror(command[0]);
	return 127;
}
