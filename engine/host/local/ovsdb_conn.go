package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

var (
	errLost       = errors.New("the connection was lost")
	errNoAnswer   = errors.New("no answer in time")
	errUnreadable = errors.New("its answer cannot be read")
)

// connection is one connection to ovsdb-server. A goroutine reads it to its
// end, hands answers to those who wait for them, and answers the server's
// echo requests, which ask whether we still live.
type connection struct {
	conn net.Conn

	writing sync.Mutex // one message at a time

	mu      sync.Mutex
	waiting map[string]waiter // by id
	last    int               // the last id
	broken  error             // set once, when the connection ends
	ended   chan struct{}     // closed then
	indexes map[lookup]*index
}

// A waiter waits for an answer. First, where given, sees it before anything that
// comes after it is read.
type waiter struct {
	answer chan message
	first  func(message)
}

func newConnection(conn net.Conn) *connection {
	c := &connection{conn: conn, waiting: map[string]waiter{}, ended: make(chan struct{}), indexes: map[lookup]*index{}}
	go c.read(newMessageReader(conn, maxMessage))
	return c
}

func (c *connection) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken == nil
}

func (c *connection) close(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return
	}
	c.broken = why
	close(c.ended)
	_ = c.conn.Close() // nothing is left to lose on it
}

func (c *connection) read(r *messageReader) {
	for {
		m, err := r.next()
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed it")
		}
		if err == nil && m.Method == "echo" {
			err = c.echo(message{ID: m.ID, Result: m.Params, Error: json.RawMessage("null")})
		}
		if err == nil && m.Method == "update" {
			err = c.notified(m.Params)
		}
		if err == nil && m.Method == "monitor_canceled" {
			err = errors.New("the server holds other rows now")
		}
		if err != nil {
			c.close(err)
			return
		}
		c.deliver(m)
	}
}

func (c *connection) echo(m message) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	return c.send(ctx, m)
}

// deliver hands an answer to who waits for it. Other notifications, and answers
// that come too late, are nobody's.
func (c *connection) deliver(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, known := c.waiting[string(m.ID)]
	if !known || m.Method != "" {
		return
	}
	delete(c.waiting, string(m.ID))
	if w.first != nil {
		w.first(m)
	}
	w.answer <- m
}

// send writes a message. A server that does not read holds us no longer than
// ctx does.
func (c *connection) send(ctx context.Context, m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	deadline, _ := ctx.Deadline() // none is the zero time, which means the same to a connection
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}

// call sends a request and waits for its answer. The error wraps errLost where
// the connection ended, and errNoAnswer where ctx did.
func (c *connection) call(ctx context.Context, method string, params json.RawMessage) (message, error) {
	return c.exchange(ctx, method, params, nil)
}

// exchange is call whose answer first sees before anything that the server sends after
// it is read. It is called with the lock held.
func (c *connection) exchange(ctx context.Context, method string, params json.RawMessage, first func(message)) (message, error) {
	if err := ctx.Err(); err != nil {
		return message{}, err
	}
	answer := make(chan message, 1)
	c.mu.Lock()
	c.last++
	id := strconv.Itoa(c.last)
	c.waiting[id] = waiter{answer, first}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()

	if err := c.send(ctx, message{ID: json.RawMessage(id), Method: method, Params: params}); err != nil {
		c.close(err) // half a message may be out
		return message{}, c.failure(ctx)
	}
	select {
	case m := <-answer:
		return m, nil
	case <-ctx.Done():
	case <-c.ended:
	}
	select {
	case m := <-answer: // it came just before the end
		return m, nil
	default:
		return message{}, c.failure(ctx)
	}
}

func (c *connection) failure(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%w: %w", errLost, c.broken)
}
