/* How the program ends when it cannot go on: one line on stderr, and the exit status that says whose fault it is. */
#ifndef STOP_H
#define STOP_H
#include <stdio.h>
#include <stdlib.h>

/* 0: everything was as it should be. */
enum { EXIT_DISK_WRONG = 1, EXIT_CANNOT_RUN = 2 };

#define stop(status, ...)                              \
	do {                                           \
		fflush(stdout);                        \
		fprintf(stderr, "disk-checker: ");     \
		fprintf(stderr, __VA_ARGS__);          \
		fputc('\n', stderr);                   \
		exit(status);                          \
	} while (0)

#endif
