//go:build !linux

package sshtest

import "syscall"

// dieWithTest is for Linux: elsewhere only the test's cleanup ends a server.
func dieWithTest() *syscall.SysProcAttr { return nil }
