package sshtest

import "syscall"

// dieWithTest has the kernel end a server whose test was killed.
func dieWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
