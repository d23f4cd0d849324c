package ssh

import (
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout is after how many milliseconds without an acknowledgement the
// kernel gives a connection up; see tcp(7). It bounds a write into a dead
// connection, which no keepalive gets past.
const userTimeout = 15_000

// promptConn acknowledges every segment at once. After a login sshd's small
// packets wait in Nagle's algorithm for our delayed acknowledgement: 40 ms,
// twice. TCP_QUICKACK is not permanent, see tcp(7), so it is set again after
// each read and write.
type promptConn struct {
	net.Conn
	raw syscall.RawConn
	// broken spares the system call where the option cannot be set.
	broken atomic.Bool
}

func prompt(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeout)
	})
	return &promptConn{Conn: conn, raw: raw}
}

func (c *promptConn) quick() {
	if c.broken.Load() {
		return
	}
	err := c.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) != nil {
			c.broken.Store(true)
		}
	})
	if err != nil {
		c.broken.Store(true)
	}
}

func (c *promptConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.quick()
	return n, err
}

func (c *promptConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.quick()
	return n, err
}
