//go:build !linux

package main

import "errors"

// reset is of Linux hosts alone.
func reset() error { return errors.New("reset the machine: this is no Linux") }
