package main

import "syscall"

// spare are the file descriptors that are not for hosts: streams, agents, files
// that are read.
const spare = 64

// connections is how many hosts may be connected at once: half of the file
// descriptors that this process may open, for a guard is confirmed over a
// further connection. The Go runtime raised the soft limit to the hard one
// before main began (see package os).
func connections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(max(8, (min(limit.Cur, 1<<20)-min(limit.Cur, spare))/2))
}
