// SPDX-License-Identifier: GPL-2.0
/*
 * Another kernel without the firmware, for tests.
 *
 *	kexec load|crash KERNEL INITRD PARAMETERS	for later, or for a crash
 *	kexec go					now; devices are shut down
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int load(char **argv, unsigned long flags)
{
	int kernel = open(argv[0], O_RDONLY);
	int initrd = open(argv[1], O_RDONLY);

	return syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[2]) + 1,
		       argv[2], flags);
}

int main(int argc, char **argv)
{
	int err = -1;

	if (argc == 5 && !strcmp(argv[1], "load"))
		err = load(argv + 2, 0);
	else if (argc == 5 && !strcmp(argv[1], "crash"))
		err = load(argv + 2, KEXEC_FILE_ON_CRASH);
	else if (argc == 2 && !strcmp(argv[1], "go"))
		err = syscall(SYS_reboot, LINUX_REBOOT_MAGIC1,
			      LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	if (err)
		perror("kexec");
	return !!err;
}
