package testlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// qmp speaks with a qemu over its machine protocol, QMP: one command at a time, and events in between.
type qmp struct {
	conn    *net.UnixConn
	answers chan qmpMessage
	events  chan qmpMessage // those that somebody waits for; see wanted
	one     sync.Mutex      // a command is under way
}

// qmpMessage is what qemu sends: an answer, an error, an event or its greeting.
type qmpMessage struct {
	QMP    json.RawMessage
	Return json.RawMessage
	Error  *struct{ Desc string }
	Event  string
	Data   struct {
		Guest  bool
		Reason string
	}
}

// qmpTime is how long qemu may take to answer a command: it has nothing to wait for but a busy machine.
const qmpTime = 60 * time.Second

var errQEMUGone = errors.New("qemu ended")

// newQMP greets the qemu at the other end of a connection, which it owns from then on.
func newQMP(conn *net.UnixConn) (*qmp, error) {
	q := &qmp{conn: conn, answers: make(chan qmpMessage), events: make(chan qmpMessage, 64)}
	go q.read()
	if _, err := q.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("await qemu's greeting: %w", err), conn.Close())
	}
	if _, err := q.do("qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return q, nil
}

// read sorts what qemu sends until it has ended.
func (q *qmp) read() {
	defer close(q.answers)
	defer close(q.events)
	for from := json.NewDecoder(q.conn); ; {
		var m qmpMessage
		if err := from.Decode(&m); err != nil {
			return
		}
		switch m.Event {
		case "":
			q.answers <- m
		case "SHUTDOWN", "RESUME":
			q.events <- m
		}
	}
}

func (q *qmp) answer() (qmpMessage, error) {
	select {
	case m, ok := <-q.answers:
		if !ok {
			return m, errQEMUGone
		}
		if m.Error != nil {
			return m, errors.New(m.Error.Desc)
		}
		return m, nil
	case <-time.After(qmpTime):
		return qmpMessage{}, fmt.Errorf("no answer within %s", qmpTime)
	}
}

// do has qemu carry out a command and returns what it returns.
func (q *qmp) do(command string, arguments any) (json.RawMessage, error) {
	return q.doWith(command, arguments, nil)
}

// giveFile lets qemu know an open file by a name, as in the address "fd:NAME" of a migration.
func (q *qmp) giveFile(name string, file *os.File) error {
	_, err := q.doWith("getfd", map[string]string{"fdname": name}, unix.UnixRights(int(file.Fd())))
	return err
}

// doWith carries out a command that is sent along with ancillary data, unix(7).
func (q *qmp) doWith(command string, arguments any, ancillary []byte) (json.RawMessage, error) {
	q.one.Lock()
	defer q.one.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		panic(fmt.Sprintf("testlab: a command is plain data: %v", err))
	}
	if _, _, err := q.conn.WriteMsgUnix(append(text, '\n'), ancillary, nil); err != nil {
		return nil, fmt.Errorf("qemu: %s: %w", command, err)
	}
	m, err := q.answer()
	if err != nil {
		return nil, fmt.Errorf("qemu: %s: %w", command, err)
	}
	return m.Return, nil
}

func (q *qmp) close() error { return q.conn.Close() }

// monitorName is the socket, in a host's directory, at which its qemu takes commands of anybody who may read it.
const monitorName = "monitor"

// withMonitor has somebody speak with the qemu of a host that runs.
func (h host) withMonitor(speak func(*qmp) error) error {
	q, err := h.monitor()
	if err != nil {
		return fmt.Errorf("reach the qemu of host %s: %w", h.name, err)
	}
	return errors.Join(speak(q), q.close())
}

func (h host) monitor() (*qmp, error) {
	// A path through a descriptor is short enough for a socket's address, wherever the lab keeps its state.
	dir, err := os.Open(h.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	conn, err := net.DialTimeout("unix", filepath.Join("/proc/self/fd", fmt.Sprint(dir.Fd()), monitorName), qmpTime)
	if err != nil {
		return nil, err
	}
	return newQMP(conn.(*net.UnixConn))
}
