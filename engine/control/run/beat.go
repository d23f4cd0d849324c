package run

import (
	"time"

	"weft/engine/wire"
)

// beat sends heartbeats, three in the time of a lease, until the session is
// closed. Each is answered by a pulse: where nothing at all is heard for the
// time of the lease after one of them went out, the connection is dead, and
// closed.
func (s *session) beat(lease time.Duration) {
	t := time.NewTicker(lease / 3)
	defer t.Stop()
	writing := make(chan struct{}, 1) // a write into a dead connection hangs
	asked := time.Duration(-1)        // when the first heartbeat went out after which nothing was heard
	for {
		select {
		case <-s.quit:
			return
		case <-t.C:
			now := time.Since(s.began)
			switch {
			case s.handing.Load() || time.Duration(s.heard.Load()) > asked:
				asked = now
			case now-asked >= lease:
				s.silent.Store(int64(lease))
				s.cut() // whoever waits for an answer has none now
				return
			}
		}
		select {
		case writing <- struct{}{}:
			go func() {
				_ = s.conn.Write(wire.Request{Heartbeat: &wire.Heartbeat{}})
				<-writing
			}()
		default:
		}
	}
}
