package guard

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Whoever looks while several processes move the deadline finds one of theirs:
// a deadline that cannot be read is over.
func TestTheDeadlineIsWholeAtAnyTime(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "guard")}
	if err := s.Arm(Armed{Run: "r1", Time: time.Hour, At: Moment{Boot: "b", Micros: 1}}); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 50 {
				if err := s.Extend(Moment{Boot: "b", Micros: 1}, time.Hour); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { writers.Wait(); close(over) }()
	for {
		if _, d, err := s.Standing(); err != nil || d.Boot != "b" {
			t.Fatalf("the deadline is %+v, %v", d, err)
		}
		select {
		case <-over:
			return
		default:
		}
	}
}
