package fake_test

import (
	"errors"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/host/row/rowtest"
)

func TestContractOfOVSDB(t *testing.T) {
	rowtest.Contract(t, func(*testing.T) host.OVSDB {
		m := fake.New()
		m.AddDatabase(host.OpenVSwitch)
		return m.Host().OVSDB
	})
}

func TestDatabaseThatIsNotThere(t *testing.T) {
	_, err := fake.New().Host().OVSDB.Select(t.Context(), host.Northbound, row.Select("NB_Global", nil))
	if !errors.Is(err, host.ErrNotReady) {
		t.Errorf("%v is not ErrNotReady", err)
	}
}
