class TestShow:
    def test_tells_what_the_list_does(self, client, deliver, start, user, tenant):
        deliver("call-start", **start)
        reader = user("client", tenant.id)

        (listed,) = client.get("/api/audit/events?eventType=CALL_STARTED", headers=reader).get_json()["items"]
        shown = client.get(f"/api/audit/events/{listed['id']}", headers=reader).get_json()

        assert shown == listed
        assert (shown["eventType"], shown["clientId"]) == ("CALL_STARTED", str(tenant.id))
