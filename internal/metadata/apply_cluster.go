package metadata

import "strconv"

func (e *editor) foldCluster(m Message) error {
	switch m := m.(type) {
	case *RegisterBrokerRecord:
		e.putBroker(brokerFromRecord(m))
	case *UnregisterBrokerRecord:
		e.brokers.remove(m.BrokerID)
		e.touched.brokers = append(e.touched.brokers, m.BrokerID)
	case *FenceBrokerRecord:
		return e.changeBroker(m.ID, m.Epoch, func(b *Broker) error { b.Fenced = true; return nil })
	case *UnfenceBrokerRecord:
		return e.changeBroker(m.ID, m.Epoch, func(b *Broker) error { b.Fenced = false; return nil })
	case *BrokerRegistrationChangeRecord:
		return e.changeBroker(m.BrokerID, m.BrokerEpoch, m.change)
	case *RegisterControllerRecord:
		e.controllers.set(m.ControllerID, m)
		e.touched.controllers = append(e.touched.controllers, m.ControllerID)
	}
	return nil
}

func (e *editor) putBroker(b *Broker) {
	e.brokers.set(b.ID, b)
	e.touched.brokers = append(e.touched.brokers, b.ID)
}

// changeBroker replaces a broker with a changed copy, if the record refers to
// the current registration.
func (e *editor) changeBroker(id int32, epoch int64, change func(*Broker) error) error {
	old, ok := e.brokers.get(id)
	if !ok {
		return inconsistent("no broker of that id")
	}
	if old.Epoch != epoch {
		return inconsistent("the broker's epoch is %d", old.Epoch)
	}
	next := *old
	if err := change(&next); err != nil {
		return err
	}
	e.putBroker(&next)
	return nil
}

func (m *BrokerRegistrationChangeRecord) change(b *Broker) error {
	switch m.Fenced {
	case 0:
	case 1:
		b.Fenced = true
	case -1:
		b.Fenced = false
	default:
		return inconsistent("unknown fencing change %d", m.Fenced)
	}
	switch m.InControlledShutdown {
	case 0:
	case 1:
		b.InControlledShutdown = true
	default:
		return inconsistent("unknown controlled shutdown change %d", m.InControlledShutdown)
	}
	if len(m.LogDirs) > 0 {
		b.LogDirs = sortedIDs(m.LogDirs)
	}
	if m.CordonedLogDirs != nil {
		b.CordonedLogDirs = sortedIDs(m.CordonedLogDirs)
	}
	return nil
}

// scramKey returns the key of a credential. The credentials of a user are
// adjacent.
func scramKey(user string, mechanism int8) string {
	return user + "\x00" + strconv.Itoa(int(mechanism))
}

func (e *editor) foldSecurity(m Message) error {
	e.touched.security = true
	switch m := m.(type) {
	case *AccessControlEntryRecord:
		e.acls.set(idKey(m.ID), m)
	case *RemoveAccessControlEntryRecord:
		if _, ok := e.acls.get(idKey(m.ID)); !ok {
			return inconsistent("no ACL of that id")
		}
		e.acls.remove(idKey(m.ID))
	case *UserScramCredentialRecord:
		e.scram.set(scramKey(m.Name, m.Mechanism), m)
	case *RemoveUserScramCredentialRecord:
		e.scram.remove(scramKey(m.Name, m.Mechanism))
	case *DelegationTokenRecord:
		e.tokens.set(m.TokenID, m)
	case *RemoveDelegationTokenRecord:
		e.tokens.remove(m.TokenID)
	}
	return nil
}
